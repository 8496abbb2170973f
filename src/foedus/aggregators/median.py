"""The coordinate-wise median."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators.rule import Joined, Rule
from foedus.aggregators.sorting import Columns, middle_of, over_sorted_columns, share_outside


@dataclass(frozen=True)
class Median(Rule):
    """The median of every coordinate; for an even number of updates the mean of the two in the middle.

    Withstands fewer than half of the nodes lying (Yin et al. 2018, arXiv:1803.01498). Ignores weights. Of a node it
    says at which share of the coordinates it was outside the middle half: about 1/2 for one that is as others are.

    >>> import torch
    >>> Median()(torch.tensor([[1.0], [2.0], [100.0]]))
    tensor([2.])
    """

    @property
    def breakdown(self) -> str:
        return "n >= 2f + 1"

    def reduce(self, u_KD: Tensor) -> Joined:
        k = len(u_KD)
        quarter = k // 4

        def of(sorted_CK: Columns) -> tuple[Columns, Columns, Columns]:
            return middle_of(sorted_CK), sorted_CK[:, quarter].copy(), sorted_CK[:, k - 1 - quarter].copy()

        u_D, low_D, high_D = over_sorted_columns(u_KD, of)
        return Joined(u_D, lambda: share_outside(u_KD, low_D, high_D))
