"""Clipping: updates that are too long are shortened before another rule joins them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from foedus.aggregators.gram import distances_from
from foedus.aggregators.preaggregation import Before, begin_then, step_then
from foedus.aggregators.rule import Joined
from foedus.core.errors import BadInput


class Clipping(Before):
    """Base of rules that scale every update to a length of at most ``most``, and let ``then`` join them.

    A subclass is a frozen dataclass with a field ``then``. It makes one stack more; ``then`` reads it.
    """

    def most(self, lengths_K: Tensor) -> float:
        """The most that an update is long afterwards, by the lengths there are."""
        raise NotImplementedError

    def begin(self, d: int) -> Any:
        return begin_then(self.then, d)

    def mix(self, u_KD: Tensor) -> Tensor:
        """What takes the place of the updates: (K, D)."""
        return scaled(u_KD, self._factors(u_KD))

    def step(self, u_KD: Tensor, nodes: Sequence[int], state: Any) -> tuple[Joined, Any]:
        factor_K = self._factors(u_KD)
        reduced, after = step_then(self.then, scaled(u_KD, factor_K), nodes, state)
        return Joined(reduced.u_D, lambda: 1 - factor_K * (1 - reduced.left_out())), after

    def _factors(self, u_KD: Tensor) -> Tensor:
        lengths_K = lengths(u_KD)
        return shortening(lengths_K, self.most(lengths_K))


def scaled(u_KD: Tensor, factor_K: Tensor) -> Tensor:
    """Every row times its factor."""
    return u_KD * factor_K[:, None].to(u_KD.dtype)


def lengths(u_KD: Tensor) -> Tensor:
    """The Euclidean norm of every row: (K,) float64."""
    return distances_from(u_KD, u_KD.new_zeros(u_KD.shape[1]))


def shortening(lengths_K: Tensor, most: float) -> Tensor:
    """The factors (K,) that make of these lengths at most ``most``: 1 for what is no longer."""
    return torch.where(lengths_K > most, most / lengths_K, 1.0)


def check_length(value: float, name: str) -> None:
    """Errors: ``BadInput`` for a length that is no positive number."""
    if not (math.isfinite(value) and value > 0):
        raise BadInput(f"{name} must be a positive number, in the unit of the updates' Euclidean norm; got {value}")
