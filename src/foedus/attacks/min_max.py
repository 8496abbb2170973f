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
        bound = float(squares_between(known.seen_KD).max())
        return min(furthest(off, along, across, bound) for off, along, across in parabolas(self, known.seen_KD))


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


def squares_between(u_KD: Tensor) -> Tensor:
    """Squared Euclidean distances of all pairs (K, K), float64."""
    # Differences, and no Gram matrix: honest updates may be near each other, and that is all that counts here.
    return torch.stack([(u_KD - u_D).double().square().sum(1) for u_D in u_KD])


def parabolas(attack: Directed, seen_KD: Tensor) -> list[tuple[float, float, float]]:
    """Of every update the squared distance from ``start + gamma * direction``: off + 2 gamma along + gamma^2 across."""
    way_D = attack.direction(seen_KD).double()
    off_KD = attack.start(seen_KD).double() - seen_KD.double()
    across = float(way_D.square().sum())
    return [(float(o), float(a), across) for o, a in zip(off_KD.square().sum(1), off_KD @ way_D, strict=True)]


def furthest(off: float, along: float, across: float, bound: float) -> float:
    """The largest gamma with off + 2 gamma along + gamma^2 across <= bound, which 0 fulfils; 0 without a direction."""
    if across <= 0:
        return 0.0
    root = math.sqrt(max(0.0, along * along + across * (bound - off)))
    # Of the two ways to write it the one that subtracts nothing.
    return max(0.0, (bound - off) / (along + root) if along > 0 else (root - along) / across)
