"""The coordinate-wise trimmed mean."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators.rule import Joined, Rule, at_least_0
from foedus.aggregators.sorting import Columns, mean_of, over_sorted_columns, share_outside


@dataclass(frozen=True)
class TrimmedMean(Rule):
    """The mean of every coordinate without its f smallest and f largest values; needs n >= 2f + 1.

    Withstands f lying nodes (Yin et al. 2018, arXiv:1803.01498). Ignores weights. Of a node it says at which share of
    the coordinates it was trimmed.

    >>> import torch
    >>> TrimmedMean(f=1)(torch.tensor([[1.0], [2.0], [3.0], [100.0]]))
    tensor([2.5000])
    """

    f: int = 1

    def __post_init__(self) -> None:
        at_least_0(self.f)

    @property
    def breakdown(self) -> str:
        return "n >= 2f + 1"

    def least(self) -> int:
        return 2 * self.f + 1

    def reduce(self, u_KD: Tensor) -> Joined:
        first, last = self.f, len(u_KD) - 1 - self.f

        def of(sorted_CK: Columns) -> tuple[Columns, Columns, Columns]:
            return mean_of(sorted_CK[:, first : last + 1]), sorted_CK[:, first].copy(), sorted_CK[:, last].copy()

        u_D, low_D, high_D = over_sorted_columns(u_KD, of)
        return Joined(u_D, lambda: share_outside(u_KD, low_D, high_D))
