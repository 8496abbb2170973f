"""The coordinate-wise median."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators.stack import Stack


@dataclass(frozen=True)
class Median(Stack):
    """The median of every coordinate; for an even number of updates the mean of the two in the middle.

    Withstands fewer than half of the nodes lying (Yin et al. 2018, arXiv:1803.01498). Ignores weights.

    >>> import torch
    >>> Median()(torch.tensor([[1.0], [2.0], [100.0]]))
    tensor([2.])
    """

    def reduce(self, u_KD: Tensor) -> Tensor:
        k = len(u_KD)
        u_sorted = u_KD.sort(dim=0).values
        return u_sorted[k // 2] if k % 2 else (u_sorted[k // 2 - 1] + u_sorted[k // 2]) / 2
