"""Difference coding: send what changed since the last time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.transform import Sensitivity, Shapes, Transform, holds_numbers
from foedus.core.types.update import Tensors, Update
from foedus.transforms.wrapper import Wrapper, below, under

_REFERENCE = "reference:"


@dataclass(frozen=True)
class Difference(Wrapper):
    """Wrap a compressor: node and coordinator keep the same reference h, and C(v - h) travels; what arrives is
    h + C(v - h), and both move h on by ``alpha`` C(v - h).

    With alpha = 1, h is what the coordinator last received: EF21 (Richtarik et al. 2021, arXiv:2106.05203), for biased
    compressors such as ``TopK``. With an unbiased compressor of variance omega ||v||^2 and alpha <= 1 / (1 + omega) it
    is DIANA (Mishchenko et al. 2019, arXiv:1901.09269). What is sent shrinks as a node's updates settle, even if
    not at zero. Costs a vector of state at every node, and one for every node at the coordinator.
    """

    inner: Transform
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.alpha) and 0 < self.alpha <= 1):
            raise BadInput(f"alpha, how far the reference follows, must lie in (0, 1], got {self.alpha}")

    def sensitivity(self, given: Sensitivity | None) -> Sensitivity | None:
        return None  # what is folded is the reference and what was sent: a bound on the one is none on both

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        reference = below(state, _REFERENCE)
        change = {k: v - reference[k] if k in reference else v for k, v in u.parts.items()}
        sent, received, inner_state = self.pass_inner(u.with_parts(change), state, key)
        return sent, {**self._moved(reference, received), **inner_state}

    def receive(self, u: Update, shapes: Shapes, memory: NodeState) -> tuple[Update, NodeState]:
        reference = below(memory, _REFERENCE)
        change, inner_memory = self.inner.receive(u, shapes, below(memory, "received:"))
        parts = {k: v + reference[k] if k in reference else v for k, v in change.parts.items()}
        return u.with_parts(parts), {**self._moved(reference, change.parts), **under("received:", inner_memory)}

    def _moved(self, reference: NodeState, change: Tensors) -> dict[str, Tensor]:
        """The next reference. Both ends compute it from the same numbers, and so have the same bits."""
        steps = {k: v * self.alpha for k, v in change.items() if holds_numbers(k, v.dtype)}
        return under(_REFERENCE, {k: reference[k] + v if k in reference else v for k, v in steps.items()})
