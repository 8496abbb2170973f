"""The mean around the median."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from foedus.aggregators.rule import Joined, Withstands
from foedus.aggregators.sorting import Columns, mean_of, middle_of, over_sorted_columns, share_outside


def mean_around_median(u_KD: Tensor, near: int, rows: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """At every coordinate the mean of the values nearest to the median, and the least and the greatest of these.

    ``near``  how many values these are.
    ``rows``  the numbers of the rows that are meant, all by default.
    """

    def of(sorted_CK: Columns) -> tuple[Columns, Columns, Columns]:
        # The nearest ones stand side by side: from the lowest on, one gives way while the next above is nearer.
        median_C1 = middle_of(sorted_CK)[:, None]
        below_CS, above_CS = sorted_CK[:, : sorted_CK.shape[1] - near], sorted_CK[:, near:]
        start_C1 = (above_CS - median_C1 < median_C1 - below_CS).sum(1, keepdims=True)
        low_C1 = np.take_along_axis(sorted_CK, start_C1, 1)
        high_C1 = np.take_along_axis(sorted_CK, start_C1 + near - 1, 1)
        nearest_CN = np.take_along_axis(sorted_CK, start_C1 + np.arange(near), 1)
        return mean_of(nearest_CN), low_C1[:, 0], high_C1[:, 0]

    mean_D, low_D, high_D = over_sorted_columns(u_KD, of, rows)
    return mean_D, low_D, high_D


@dataclass(frozen=True)
class MeaMed(Withstands):
    """The mean of every coordinate's n - f values nearest to its median; needs n >= 2f + 1.

    Mean around the median (Xie et al. 2018, arXiv:1802.10116). Of two values equally far from the median the lower
    counts. Ignores weights. Of a node it says at which share of the coordinates its value was not among these.

    >>> import torch
    >>> MeaMed(f=1)(torch.tensor([[1.0], [2.0], [3.0], [100.0]]))
    tensor([2.])
    """

    def reduce(self, u_KD: Tensor) -> Joined:
        mean_D, low_D, high_D = mean_around_median(u_KD, len(u_KD) - self.f)
        return Joined(mean_D, lambda: share_outside(u_KD, low_D, high_D))
