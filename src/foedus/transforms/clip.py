"""Clipping: no single node moves the model by more than a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.transform import Contraction, Identity, Sends, Sensitivity, Shapes, holds_numbers
from foedus.core.types.update import Tensors, Update


@dataclass(frozen=True)
class Clip(Identity):
    """Scale an update so that its Euclidean norm, over all parts but ``buffers``, is at most ``norm``.

    An update within the bound, a zero one included, is unchanged. The norm is that of ``Update.value()``: what the
    node alone would have answered, not the sum over its rows.
    """

    norm: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.norm) and self.norm > 0):
            raise BadInput(f"the clipping norm must be a positive number, got {self.norm}")

    @property
    def takes(self) -> Sends:
        return Sends.PLACES  # a code has no norm

    def sensitivity(self, given: Sensitivity | None) -> Sensitivity | None:
        own = Sensitivity("l2", self.norm)
        shorter = given is not None and given.norm == own.norm and given.excludes == own.excludes
        return given if shorter and given is not None and given.bound <= own.bound else own

    def contraction(self, shapes: Shapes) -> Contraction | None:
        return Contraction(0.0)  # the longer an update, the less of it is left

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        clipped = {k: v for k, v in u.parts.items() if holds_numbers(k, v.dtype)}
        bound = self.norm * (u.weight if u.summed else 1.0)
        size = _norm(clipped)
        if size <= bound:
            return u, state
        scaled = _shortened(clipped, bound, size)
        return u.with_parts({k: scaled.get(k, v) for k, v in u.parts.items()}), state


def _shortened(parts: Tensors, bound: float, size: float) -> Tensors:
    """The parts scaled from a norm of ``size`` to one of ``bound``, or a little less where rounding lifts it above."""
    factor, slack = bound / size, 2.0 * max(torch.finfo(v.dtype).eps for v in parts.values())
    while True:
        scaled = {k: v * factor for k, v in parts.items()}
        if _norm(scaled) <= bound:
            return scaled
        # Twice the type's precision is enough for all numbers but the smallest, which it rounds more coarsely.
        factor *= 1.0 - slack
        slack = min(0.5, 2.0 * slack)


def _norm(parts: Tensors) -> float:
    return math.sqrt(sum(float(torch.linalg.vector_norm(v, dtype=torch.float64)) ** 2 for v in parts.values()))
