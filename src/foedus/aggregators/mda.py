"""Minimum-diameter averaging."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.aggregators.gram import squared_distances
from foedus.aggregators.krum import chosen
from foedus.aggregators.rule import Joined, Withstands
from foedus.core.errors import BadInput

MOST = 200_000
"""Branches of a search at the most: some seconds."""


@dataclass(frozen=True)
class MDA(Withstands):
    """The mean of those n - f updates whose largest distance from each other is least; needs n >= 2f + 1.

    Minimum-diameter averaging (Rousseeuw 1985; El Mhamdi et al. 2021, arXiv:2008.00742). Of several such sets, the one
    that comes first when sets are ordered by their lowest ids. The search is exact; where it would have to look at too
    many sets, as it may with a large f among updates that are all about equally far apart, it is refused.

    >>> MDA(f=1)(torch.tensor([[1.0], [2.0], [3.0], [100.0]]))
    tensor([2.])
    """

    def reduce(self, u_KD: Tensor) -> Joined:
        return chosen(u_KD, torch.tensor(_least_diameter(squared_distances(u_KD), self.f)))


def _least_diameter(d_KK: Tensor, f: int) -> list[int]:
    """The first of all sets of K - f rows whose largest distance is least, ascending.

    Leaving out f rows so that no pair is further apart than t is a vertex cover of the pairs that are. t is found by
    bisection over the distances that there are; then row by row is kept if a cover without it is left.
    """
    k = len(d_KK)
    d_KK = torch.maximum(d_KK, d_KK.T)
    search = _Covers(f"MDA(f={f}) of {k} updates")
    values = sorted({v for row in d_KK.tolist() for v in row})  # with 0
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        if search.exists(_bits(d_KK > values[middle]), f):
            high = middle
        else:
            low = middle + 1
    far = _bits(d_KK > values[low])
    kept: list[int] = []
    left = f
    out = 0  # a set of rows, as bits
    for row in range(k):
        if out >> row & 1 or len(kept) == k - f:
            continue
        without = out | far[row]
        if (spent := without.bit_count()) <= f and search.exists(_cut(far, without | 1 << row), f - spent):
            out, left = without, f - spent
            kept.append(row)
        else:
            out |= 1 << row
            left -= 1
    return kept


def _bits(m_KK: Tensor) -> list[int]:
    """Each row of a matrix of truth values as the bits of a number."""
    return [sum(1 << j for j, there in enumerate(row) if there) for row in m_KK.tolist()]


def _cut(far: list[int], rows: int) -> list[int]:
    """A graph without some of its rows."""
    return [0 if rows >> i & 1 else neighbours & ~rows for i, neighbours in enumerate(far)]


class _Covers:
    """Whether f rows cover all edges of a graph, by branching on the row with most edges: it, or all its neighbours."""

    def __init__(self, what: str) -> None:
        self._what, self._branches = what, 0

    def exists(self, far: list[int], f: int) -> bool:
        self._branches += 1
        if self._branches > MOST:
            raise BadInput(
                f"{self._what} would look at more than {MOST:,} sets: lower f, or take a rule that does not search, "
                "such as MultiKrum or NNM before a trimmed mean"
            )
        degrees = [neighbours.bit_count() for neighbours in far]
        most = max(degrees)
        if most == 0:
            return True
        if sum(degrees) > 2 * f * most:
            return False
        row = degrees.index(most)
        if self.exists(_cut(far, 1 << row), f - 1):
            return True
        return most <= f and self.exists(_cut(far, far[row]), f - most)
