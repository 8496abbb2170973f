"""Clipping about the last aggregate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foedus.aggregators.clipping import check_length, shortening
from foedus.aggregators.gram import combined, distances_from
from foedus.aggregators.rule import Joined, Rule
from foedus.core.errors import BadInput


@dataclass(frozen=True)
class CenteredClipping(Rule):
    """What updates differ by from a center v is clipped to ``radius``, and the center moves on by the mean of that:

        v <- v + 1/n sum_k (u_k - v) min(1, radius / ||u_k - v||),        ``steps`` times.

    Karimireddy, He and Jaggi 2021 (arXiv:2012.10333). The first center is 0, every next one is the last
    answer: history tells what is usual, and nodes should send ``WorkerMomentum``, or honest updates are too far apart.
    f of n dishonest nodes move the answer by at most ``steps * radius * f / n`` from where honest ones alone would have
    moved it in a step. It does not need to know f. Answers have no more to do with updates than ``steps * radius``
    allows: with too small a radius the first rounds are short.

    >>> import torch
    >>> CenteredClipping(radius=5.0)(torch.tensor([[3.0, 4.0], [0.0, 0.0], [30.0, 40.0]]))
    tensor([2.0000, 2.6667])
    """

    radius: float
    steps: int = 1

    def __post_init__(self) -> None:
        check_length(self.radius, "radius")
        if self.steps < 1:
            raise BadInput(f"steps must be at least 1, got {self.steps}")

    @property
    def breakdown(self) -> str:
        return "n >= 10f for convergence, and bounds what f nodes do whatever f"

    def begin(self, d: int) -> Tensor:
        return torch.zeros(d)

    def step(self, u_KD: Tensor, nodes: Sequence[int], state: Any) -> tuple[Joined, Any]:
        v_D = state.to(u_KD.dtype)
        for _ in range(self.steps):
            c_K = shortening(distances_from(u_KD, v_D), self.radius) / len(u_KD)
            v_D = v_D * (1 - float(c_K.sum())) + combined(c_K[None], u_KD)[0]
        return Joined(v_D, 1 - c_K * len(u_KD)), v_D
