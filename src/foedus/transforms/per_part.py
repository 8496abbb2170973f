"""The base of compressors that treat every part of an update by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.transform import Contraction, Identity, Shape, Shapes, holds_numbers
from foedus.core.types.update import Tensors, Update


class PerPart(Identity):
    """Packs every part that holds numbers into one or more tensors. ``buffers``, places and bits pass as they are.

    A subclass says for a part of d numbers what travels (``packed``), and how it gets there (``pack``) and back
    (``unpack``). The tensors are named by suffixes of the part's name, the empty one among them.
    """

    def packed(self, d: int, dtype: torch.dtype) -> Mapping[str, Shape]:
        """Shapes of what travels for d numbers, by suffix."""
        raise NotImplementedError

    def pack(self, v_D: Tensor, key: Key) -> Tensors:
        """What travels for these numbers, by suffix."""
        raise NotImplementedError

    def unpack(self, sent: Tensors, d: int) -> Tensor:
        """The d numbers that are made of what arrived."""
        raise NotImplementedError

    def loses(self, d: int) -> Contraction:
        """How near what is unpacked comes to d numbers."""
        raise NotImplementedError

    def contraction(self, shapes: Shapes) -> Contraction | None:
        parts = [self.loses(math.prod(shape)) for name, (shape, dtype) in shapes.items() if holds_numbers(name, dtype)]
        return Contraction(min((c.delta for c in parts), default=1.0), max((c.omega for c in parts), default=0.0))

    def wire(self, shapes: Shapes) -> Shapes:
        out: dict[str, Shape] = {}
        for name, (shape, dtype) in shapes.items():
            if holds_numbers(name, dtype):
                packed = {name + suffix: s for suffix, s in self.packed(math.prod(shape), dtype).items()}
                taken = sorted(packed.keys() & (shapes.keys() - {name}))
                if taken:
                    raise BadInput(f"{self!r} cannot come after one of its kind, which sends {taken[0]!r} already")
                out.update(packed)
            else:
                out[name] = (shape, dtype)
        return out

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        parts: dict[str, Tensor] = {}
        for name, v in u.parts.items():
            if holds_numbers(name, v.dtype):
                sent = self.pack(v.reshape(-1), key.child(name))
                parts.update({name + suffix: t for suffix, t in sent.items()})
            else:
                parts[name] = v
        return u.with_parts(parts), state

    def decode(self, u: Update, shapes: Shapes) -> Update:
        parts = {}
        for name, (shape, dtype) in shapes.items():
            if holds_numbers(name, dtype):
                d = math.prod(shape)
                sent = {suffix: u[name + suffix] for suffix in self.packed(d, dtype)}
                parts[name] = self.unpack(sent, d).to(dtype).view(shape)
            else:
                parts[name] = u[name]
        return u.with_parts(parts)
