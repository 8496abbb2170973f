"""As far as the honest updates are from each other: Min-Max.

Legend: K updates that the attack is made from, D numbers of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from foedus.attacks.colluding import Known, check_knows
from foedus.attacks.directed import Directed
from foedus.attacks.numbers import spread
from foedus.core.errors import BadInput

DIRECTIONS = ("std", "unit", "sign")


@dataclass(frozen=True)
class MinMax(Directed):
    """Sends ``mean - gamma * p`` with the largest gamma for which it is no further from any honest update than two of
    them are from each other (Shejwalkar and Houmansadr 2021, NDSS, equation 8).

    ``direction_of``  p: ``"std"``, the honest updates' standard deviations; ``"unit"``, their mean with norm 1;
                      ``"sign"``, the signs of their mean.

    The paper halves an interval until gamma is near. Here it is exact: each distance is a parabola in gamma, which the
    bound meets once.

    >>> import torch
    >>> MinMax()(torch.tensor([[-1.0], [1.0]])).round(decimals=3)
    tensor([[-1.]])
    """

    direction_of: Literal["std", "unit", "sign"] = "std"
    knows: Literal["honest", "coalition"] = "honest"

    def __post_init__(self) -> None:
        check_direction(self.direction_of)
        check_knows(self.knows)

    def direction(self, seen_KD: Tensor) -> Tensor:
        return perturbation(seen_KD, self.direction_of)

    def strength(self, known: Known) -> float:
        d = distances(known.seen_KD, self.direction(known.seen_KD))
        bound = float(d.between_KK.max())
        pairs = zip(d.off_K.tolist(), d.along_K.tolist(), strict=True)
        return min(furthest(off, along, d.across, bound) for off, along in pairs)


def check_direction(direction_of: str) -> None:
    """Errors: ``BadInput`` unless it is one of the paper's perturbations."""
    if direction_of not in DIRECTIONS:
        raise BadInput(f"direction_of is one of {', '.join(DIRECTIONS)}; got {direction_of!r}")


def perturbation(seen_KD: Tensor, direction_of: str) -> Tensor:
    """The negative of p (D,): where the paper's attacks lead."""
    mean_D = seen_KD.mean(0)
    if direction_of == "std":
        return -spread(seen_KD, 1)
    if direction_of == "sign":
        return -mean_D.sign()
    norm = float(mean_D.norm())
    return -mean_D / norm if norm > 0 else torch.zeros_like(mean_D)


@dataclass(frozen=True)
class Distances:
    """Squared Euclidean distances of updates from each other and along a line from their mean, in float64.

    ``between_KK``  of each from each.
    ``off_K``, ``along_K``, ``across``  of each from ``mean + gamma * way``: off + 2 gamma along + gamma^2 across.
    """

    between_KK: Tensor
    off_K: Tensor
    along_K: Tensor
    across: float


COLUMNS = 65_536
"""Columns that are made float64 at a time."""


def distances(seen_KD: Tensor, way_D: Tensor) -> Distances:
    """``Distances`` of K updates (K, D) and a direction (D,).

    They are made of inner products of the updates less their mean, which are about as long as the distances.
    """
    k = len(seen_KD)
    gram_KK, with_K, across = (torch.zeros(s, dtype=torch.float64) for s in ((k, k), (k,), ()))
    for at in range(0, seen_KD.shape[1], COLUMNS):
        part_KC = seen_KD[:, at : at + COLUMNS].double()
        part_KC -= part_KC.mean(0)
        way_C = way_D[at : at + COLUMNS].double()
        gram_KK += part_KC @ part_KC.T
        with_K += part_KC @ way_C
        across += way_C @ way_C
    off_K = gram_KK.diagonal()
    between_KK = (off_K[:, None] + off_K[None] - 2 * gram_KK).clamp(min=0.0)
    return Distances(between_KK, off_K, -with_K, float(across))


def furthest(off: float, along: float, across: float, bound: float) -> float:
    """The largest gamma with off + 2 gamma along + gamma^2 across <= bound, which 0 fulfils; 0 without a direction."""
    if across <= 0:
        return 0.0
    root = math.sqrt(max(0.0, along * along + across * (bound - off)))
    # Of the two ways to write it the one that subtracts nothing.
    return max(0.0, (bound - off) / (along + root) if along > 0 else (root - along) / across)
