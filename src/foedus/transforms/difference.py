"""Difference coding: send what changed since the last time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.transform import Sensitivity, Shapes, Transform, holds_numbers, shapes_of
from foedus.core.types.update import Tensors, Update
from foedus.transforms.wrapper import SOME, Wrapper, below, known, under

_REFERENCE = "reference:"


@dataclass(frozen=True)
class Difference(Wrapper):
    """Wrap a compressor: node and coordinator keep the same reference h, and C(v - h) travels; what arrives is
    h + C(v - h), and both move h on by ``alpha`` C(v - h).

    ``alpha``  None: 1 / (1 + omega), by what the compressor is (``Contraction``). For biased ones such as ``TopK`` that
               is 1, and h what the coordinator last received: EF21 (Richtarik et al. 2021, arXiv:2106.05203). For an
               unbiased one of variance omega ||v||^2 it is DIANA (Mishchenko et al. 2019, arXiv:1901.09269).

    What is sent shrinks as a node's updates settle, even if not at zero. Costs a vector of state at every node, and one
    for every node at the coordinator.

    Errors: ``BadInput`` around what says nothing of how much it drops, and, when it is first used, for an ``alpha``
    with which h would move away from what it follows.
    """

    inner: Transform
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.alpha is not None and not (math.isfinite(self.alpha) and 0 < self.alpha <= 1):
            raise BadInput(f"alpha, how far the reference follows, must lie in (0, 1], got {self.alpha}")
        known(self.inner, SOME, "difference coding around")

    def wire(self, shapes: Shapes) -> Shapes:
        self._step(shapes)
        return super().wire(shapes)

    def _step(self, shapes: Shapes) -> float:
        """How far the reference follows. With a = alpha (1 + omega), E||v - h||^2 becomes at most
        1 - a (2 - a) / (1 + omega) of what it was where C is unbiased; else it falls surely up to a = 1.

        Errors: ``BadInput`` where it would grow.
        """
        c = known(self.inner, shapes, "difference coding around")
        usual = 1.0 / (1.0 + c.omega)
        if self.alpha is None:
            return usual
        if self.alpha > usual and not (c.unbiased and self.alpha < 2.0 * usual):
            raise BadInput(
                f"{self!r} diverges: its reference overshoots what it follows, by an error of up to {c.omega:.3g} "
                f"times the update. alpha is at most {usual:.3g} here, which alpha=None stands for"
            )
        return self.alpha

    def sensitivity(self, given: Sensitivity | None) -> Sensitivity | None:
        return None  # what is folded is the reference and what was sent: a bound on the one is none on both

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        reference = below(state, _REFERENCE)
        change = {k: v - reference[k] if k in reference else v for k, v in u.parts.items()}
        sent, received, inner_state = self.pass_inner(u.with_parts(change), state, key)
        return sent, {**self._moved(reference, received, self._step(shapes_of(u.parts))), **inner_state}

    def receive(self, u: Update, shapes: Shapes, memory: NodeState) -> tuple[Update, NodeState]:
        reference = below(memory, _REFERENCE)
        change, inner_memory = self.inner.receive(u, shapes, below(memory, "received:"))
        parts = {k: v + reference[k] if k in reference else v for k, v in change.parts.items()}
        moved = self._moved(reference, change.parts, self._step(shapes))
        return u.with_parts(parts), {**moved, **under("received:", inner_memory)}

    def _moved(self, reference: NodeState, change: Tensors, alpha: float) -> dict[str, Tensor]:
        """The next reference. Both ends compute it from the same numbers, and so have the same bits."""
        steps = {k: v * alpha for k, v in change.items() if holds_numbers(k, v.dtype)}
        return under(_REFERENCE, {k: reference[k] + v if k in reference else v for k, v in steps.items()})
