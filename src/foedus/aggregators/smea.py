"""The mean of those n - f updates that vary least along any direction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, islice

import torch
from torch import Tensor

from foedus.aggregators.gram import squared_distances
from foedus.aggregators.krum import chosen
from foedus.aggregators.rule import Joined, Withstands
from foedus.aggregators.spread import widest
from foedus.core.errors import BadInput

MOST = 200_000
"""Sets that are looked at: as many of 16 updates take 6 seconds, of 48 half a minute."""

BATCH = 2_048
"""Sets that are looked at together."""


@dataclass(frozen=True)
class SMEA(Withstands):
    """The mean of those n - f updates that vary least along any direction; needs n >= 2f + 1.

    Smallest maximum eigenvalue averaging (Allouah et al. 2023, arXiv:2302.04787): of all sets of so many updates the
    one whose covariance has the smallest largest eigenvalue, of several the first in the order of nodes. Its error does
    not grow with the dimension. There are n! / (f! (n - f)!) sets: more than 200,000 are refused.

    >>> import torch
    >>> SMEA(f=1)(torch.tensor([[1.0, 2.0], [1.0, 4.0], [1.0, 3.0], [-70.0, 80.0]]))
    tensor([1., 3.])
    """

    def reduce(self, u_KD: Tensor) -> Joined:
        n = len(u_KD)
        if math.comb(n, self.f) > MOST:
            raise BadInput(
                f"{self} looks at every set of {n - self.f} of {n} updates, {math.comb(n, self.f):,} sets, and does so "
                f"for up to {MOST:,}: ask a smaller cohort, withstand fewer dishonest nodes, or use CAF(f={self.f}), "
                "which looks for the same along one direction after the other"
            )
        return chosen(u_KD, narrowest(squared_distances(u_KD), n - self.f))


def narrowest(d_KK: Tensor, size: int) -> Tensor:
    """The rows (size,) of the set that varies least along any direction, by squared distances."""
    sets = combinations(range(len(d_KK)), size)
    best, least = None, torch.inf
    while batch := list(islice(sets, BATCH)):
        rows_BS = torch.tensor(batch)
        variance_B = widest(d_KK[rows_BS[:, :, None], rows_BS[:, None, :]])
        at = int(variance_B.argmin())
        if variance_B[at] < least:
            best, least = rows_BS[at], float(variance_B[at])
    assert best is not None
    return best
