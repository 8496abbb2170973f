"""Krum and Multi-Krum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from foedus.aggregators.gram import combined, squared_distances
from foedus.aggregators.rule import Joined, Withstands
from foedus.core.errors import BadInput


def krum_scores(d_KK: Tensor, neighbours: int) -> Tensor:
    """The sum of each row's squared distances to the nearest others (K,); the fewer, the more central."""
    others_KK = d_KK.clone().fill_diagonal_(float("inf"))
    return others_KK.sort(dim=1).values[:, :neighbours].sum(1)


def most_central(scores_K: Tensor) -> Tensor:
    """Rows by score, ascending; of equal ones the first."""
    return scores_K.sort(stable=True).indices


def chosen(u_KD: Tensor, rows: Tensor) -> Joined:
    """The mean of some rows; the others are left out."""
    left_out_K = torch.ones(len(u_KD), dtype=torch.float64)
    left_out_K[rows] = 0.0
    if len(rows) == 1:
        return Joined(u_KD[rows[0]].clone(), left_out_K)
    return Joined(combined((1 - left_out_K)[None] / len(rows), u_KD)[0], left_out_K)


@dataclass(frozen=True)
class Krum(Withstands):
    """The one update with the least sum of squared distances to the n - f - 2 nearest others; needs n >= 2f + 3.

    Blanchard et al. 2017 (arXiv:1703.02757). Of equal ones, the one with the lowest id. Ignores weights.

    >>> Krum(f=1)(torch.tensor([[1.0], [2.0], [2.5], [4.0], [100.0]]))
    tensor([2.])
    """

    needs: ClassVar[tuple[int, int]] = (2, 3)

    def reduce(self, u_KD: Tensor) -> Joined:
        scores_K = krum_scores(squared_distances(u_KD), len(u_KD) - self.f - 2)
        return chosen(u_KD, most_central(scores_K)[:1])


@dataclass(frozen=True)
class MultiKrum(Withstands):
    """The mean of the m updates with the best scores by Krum; needs n >= 2f + 3 and m <= n - f.

    Blanchard et al. 2017 (arXiv:1703.02757). ``m`` is n - f by default: with m = 1 it is Krum, and the larger it is,
    the less the honest nodes' noise weighs. Of equal ones, those with the lowest ids. Ignores weights.

    >>> MultiKrum(f=1)(torch.tensor([[1.0], [2.0], [2.5], [4.0], [100.0]]))
    tensor([2.3750])
    """

    m: int | None = None
    needs: ClassVar[tuple[int, int]] = (2, 3)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.m is not None and (isinstance(self.m, bool) or not isinstance(self.m, int) or self.m < 1):
            raise BadInput(
                f"m, how many updates are averaged, must be a whole number from 1 up, or None; got {self.m!r}"
            )

    @property
    def breakdown(self) -> str:
        return super().breakdown + ("" if self.m is None else " and n >= m + f")

    def least(self) -> int:
        return max(super().least(), (self.m or 0) + self.f)

    def reduce(self, u_KD: Tensor) -> Joined:
        n = len(u_KD)
        scores_K = krum_scores(squared_distances(u_KD), n - self.f - 2)
        return chosen(u_KD, most_central(scores_K)[: n - self.f if self.m is None else self.m])
