"""Bulyan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from foedus.aggregators.gram import squared_distances
from foedus.aggregators.krum import krum_scores, most_central
from foedus.aggregators.meamed import mean_around_median
from foedus.aggregators.rule import Joined, Withstands
from foedus.aggregators.sorting import share_outside


@dataclass(frozen=True)
class Bulyan(Withstands):
    """Krum chooses n - 2f updates, one after the other; their mean around the median is taken; needs n >= 4f + 3.

    El Mhamdi et al. 2018 (arXiv:1802.07927). After each choice Krum's scores are made anew among those that are left.
    Of the chosen ones, every coordinate's n - 4f values nearest to its median are averaged. Against attacks on single
    coordinates of a long vector, which distances hardly see. The last two choices are among less than the 2f + 3 that
    Krum needs, which the paper leaves open: at least one neighbour is scored. Ignores weights.

    >>> Bulyan(f=1)(torch.tensor([[1.0], [2.0], [2.5], [4.0], [3.0], [2.2], [100.0]]))
    tensor([2.2333])
    """

    needs: ClassVar[tuple[int, int]] = (4, 3)

    def reduce(self, u_KD: Tensor) -> Joined:
        n = len(u_KD)
        d_KK, left = squared_distances(u_KD), torch.arange(n)
        for _ in range(n - 2 * self.f):
            scores = krum_scores(d_KK[left][:, left], max(1, len(left) - self.f - 2))
            left = left[left != left[most_central(scores)[0]]]
        kept_K = torch.ones(n, dtype=torch.bool)
        kept_K[left] = False
        mean_D, low_D, high_D = mean_around_median(u_KD, n - 4 * self.f, rows=torch.nonzero(kept_K).flatten())
        return Joined(mean_D, lambda: share_outside(u_KD, low_D, high_D).where(kept_K, 1.0))
