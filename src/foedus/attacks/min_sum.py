"""As far from the honest updates, taken together, as one of them: Min-Sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from foedus.attacks.colluding import Known, check_knows
from foedus.attacks.directed import Directed
from foedus.attacks.min_max import check_direction, distances, furthest, perturbation


@dataclass(frozen=True)
class MinSum(Directed):
    """Sends ``mean - gamma * p`` with the largest gamma for which the sum of its squared distances from the honest
    updates is no more than the largest such sum of one of them (Shejwalkar and Houmansadr 2021, NDSS, equation 9).

    ``direction_of``  as in ``MinMax``. Gamma is exact here, too.

    >>> import torch
    >>> MinSum()(torch.tensor([[-1.0], [1.0]])).round(decimals=3)
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
        bound = float(d.between_KK.sum(1).max())
        return furthest(float(d.off_K.sum()), float(d.along_K.sum()), len(d.off_K) * d.across, bound)
