"""The base of transforms around another one, which need to know at the node what the coordinator will make of it.

What remembers what another one dropped needs that one to be a contraction: ``known`` asks for it, ``scaled_down`` makes
one of what is unbiased.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.model import Layout
from foedus.core.types.transform import (
    Contraction,
    Identity,
    Mechanism,
    Sends,
    Sensitivity,
    Shapes,
    Transform,
    holds_numbers,
    shapes_of,
)
from foedus.core.types.update import Tensors, Update


@dataclass(frozen=True)
class Wrapper(Identity):
    """Hands everything on to ``inner``."""

    inner: Transform

    @property
    def sends(self) -> Sends:
        return self.inner.sends

    @property
    def takes(self) -> Sends:
        return Sends.VECTOR  # what it remembers belongs to coordinates

    @property
    def gain(self) -> float:
        return self.inner.gain

    # What it remembers is added to what it is given: only what ``inner`` itself bounds is bounded.

    def mechanisms(self, given: Sensitivity | None) -> tuple[Mechanism, ...]:
        return self.inner.mechanisms(None)

    def sensitivity(self, given: Sensitivity | None) -> Sensitivity | None:
        return self.inner.sensitivity(None)

    def contraction(self, shapes: Shapes) -> Contraction | None:
        return None  # what arrives depends on what it remembers

    def fit(self, layout: Layout) -> Transform:
        return replace(self, inner=self.inner.fit(layout))

    def wire(self, shapes: Shapes) -> Shapes:
        return self.inner.wire(shapes)

    def decode(self, u: Update, shapes: Shapes) -> Update:
        return self.receive(u, shapes, {})[0]

    def receive(self, u: Update, shapes: Shapes, memory: NodeState) -> tuple[Update, NodeState]:
        return self.arrived(u, shapes, memory)

    def arrived(self, u: Update, shapes: Shapes, memory: NodeState) -> tuple[Update, NodeState]:
        """What is made of a message of ``inner``, at both ends."""
        return self.inner.receive(u, shapes, memory)

    def init(self, shapes: Shapes) -> Any:
        return self.inner.init(shapes)

    def finish(self, total: Tensors, state: Any, key: Key) -> tuple[Tensors, Any]:
        return self.inner.finish(total, state, key)

    def pass_inner(self, u: Update, state: NodeState, key: Key) -> tuple[Update, Tensors, dict[str, Tensor]]:
        """Encode by ``inner``: what travels, what the coordinator will make of it, and what to remember of it.

        What the coordinator remembers is remembered here too: both do the same with the same numbers.
        """
        sent, mine = self.inner.encode(u, below(state, "inner:"), key)
        got, theirs = self.arrived(sent, shapes_of(u.parts), below(state, "received:"))
        return sent, got.parts, {**under("inner:", mine), **under("received:", theirs)}


SOME: Shapes = {"delta": ((1000,), torch.float32)}
"""Of an update, for a first look at a compressor before there is a model."""


def known(inner: Transform, shapes: Shapes, around: str) -> Contraction:
    """How much a compressor loses. Errors: ``BadInput`` for one of which nothing is known; ``around`` says by whom."""
    found = inner.contraction(shapes)
    if found is None:
        raise BadInput(
            f"{around} {inner!r} may diverge: what was dropped is remembered, and nothing is known of how much that is "
            "(its contraction(shapes) is None). Use TopK, RandomK, QSGD, Sign or another compressor that remembers "
            "nothing, or give your own a contraction; of a code no numbers can be left out"
        )
    return found


def scaled_down(u: Update, shapes: Shapes, contraction: Contraction) -> Update:
    """What has arrived, times 1 / (1 + omega): so what is unbiased contracts too."""
    if not contraction.omega:
        return u
    share = 1.0 / (1.0 + contraction.omega)
    numbers = {k for k, (_, dtype) in shapes.items() if holds_numbers(k, dtype)}
    return u.with_parts({k: v * share if k in numbers else v for k, v in u.parts.items()})


def below(state: NodeState, prefix: str) -> dict[str, Tensor]:
    """The tensors of a state under a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def under(prefix: str, state: NodeState) -> dict[str, Tensor]:
    """The tensors of a state with a prefix before their names."""
    return {prefix + k: v for k, v in state.items()}
