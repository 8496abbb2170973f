"""The coordinate-wise trimmed mean."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators.rule import Joined, Withstands
from foedus.aggregators.sorting import Columns, mean_of, over_sorted_columns, share_outside


@dataclass(frozen=True)
class TrimmedMean(Withstands):
    """The mean of every coordinate without its f smallest and f largest values; needs n >= 2f + 1.

    Withstands f lying nodes (Yin et al. 2018, arXiv:1803.01498). Ignores weights. Of a node it says at which share of
    the coordinates it was trimmed.

    >>> import torch
    >>> TrimmedMean(f=1)(torch.tensor([[1.0], [2.0], [3.0], [100.0]]))
    tensor([2.5000])
    """

    def reduce(self, u_KD: Tensor) -> Joined:
        first, last = self.f, len(u_KD) - 1 - self.f

        def of(sorted_CK: Columns) -> tuple[Columns, Columns, Columns]:
            return mean_of(sorted_CK[:, first : last + 1]), sorted_CK[:, first].copy(), sorted_CK[:, last].copy()

        u_D, low_D, high_D = over_sorted_columns(u_KD, of)
        return Joined(u_D, lambda: share_outside(u_KD, low_D, high_D))
