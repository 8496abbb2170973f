"""Transforms: what happens to an update on its way, and what that costs in bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch

from foedus.core.job import NodeState
from foedus.core.keys import Key
from foedus.core.update import Tensors, Update

Shape = tuple[tuple[int, ...], torch.dtype]
Shapes = Mapping[str, Shape]
"""Name, shape and dtype of every tensor of a message."""


@runtime_checkable
class Transform(Protocol):
    """A frozen dataclass between a node's job and the fold.

    At the node ``encode`` turns the update into the tensors that travel; wherever the fold is, ``decode`` turns them
    back into tensors that can be added; ``finish`` runs once on the aggregate. Transforms never touch the part
    ``buffers``. A subclass of ``Plain`` overrides only what it needs.
    """

    def wire(self, shapes: Shapes) -> Shapes:
        """What travels when an update of these shapes is encoded, known before it is: its bytes are the cost."""
        ...

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]: ...

    def decode(self, u: Update, shapes: Shapes) -> Update:
        """The inverse of ``encode`` as far as there is one; ``shapes`` are those of the update that was encoded."""
        ...

    def init(self, shapes: Shapes) -> Any:
        """State of the coordinator's half, in the program's checkpoint."""
        ...

    def finish(self, total: Tensors, state: Any, key: Key) -> tuple[Tensors, Any]: ...


class Plain:
    """A transform that changes nothing; the neutral element, and the base of the others."""

    def wire(self, shapes: Shapes) -> Shapes:
        return shapes

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        return u, state

    def decode(self, u: Update, shapes: Shapes) -> Update:
        return u

    def init(self, shapes: Shapes) -> Any:
        return None

    def finish(self, total: Tensors, state: Any, key: Key) -> tuple[Tensors, Any]:
        return total, state


def nbytes(shapes: Shapes) -> int:
    """Bytes of a message: its tensors as raw numbers. Names and framing are not counted."""
    total = 0
    for shape, dtype in shapes.values():
        n = dtype.itemsize
        for s in shape:
            n *= s
        total += n
    return total


def shapes_of(tensors: Tensors) -> Shapes:
    """Shapes of tensors that exist."""
    return {k: (tuple(v.shape), v.dtype) for k, v in tensors.items()}


def wire_chain(transforms: Sequence[Transform], shapes: Shapes) -> list[Shapes]:
    """Shapes before the first transform, between them, and after the last."""
    chain = [shapes]
    for t in transforms:
        chain.append(t.wire(chain[-1]))
    return chain


def encode_all(
    transforms: Sequence[Transform], u: Update, states: Sequence[NodeState], key: Key
) -> tuple[Update, list[NodeState]]:
    """Encode through every transform in order. ``states`` has one node state a transform."""
    after: list[NodeState] = []
    for i, (t, s) in enumerate(zip(transforms, states, strict=True)):
        u, s = t.encode(u, s, key.child(i))
        after.append(s)
    return u, after


def decode_all(transforms: Sequence[Transform], u: Update, chain: Sequence[Shapes]) -> Update:
    """Undo ``encode_all``: the last transform is decoded first."""
    for t, shapes in zip(reversed(transforms), reversed(chain[:-1]), strict=True):
        u = t.decode(u, shapes)
    return u
