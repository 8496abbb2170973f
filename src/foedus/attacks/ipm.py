"""Inner-product manipulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from foedus.attacks.colluding import Known, check_knows
from foedus.attacks.directed import Directed
from foedus.attacks.on_vector import check_positive


@dataclass(frozen=True)
class IPM(Directed):
    """Sends ``-eps`` times the mean of the honest updates (Xie, Koyejo and Gupta 2019, arXiv:1903.03936).

    Small, it lies among the honest updates and makes the inner product of their mean and the rule's answer negative
    where that is small itself; large, it drives an average uphill: with n nodes, m of them dishonest, if eps > (n-m)/m.

    >>> import torch
    >>> IPM(eps=0.5)(torch.tensor([[1.0, 4.0], [3.0, 0.0]]))
    tensor([[-1., -1.]])
    """

    eps: float = 0.5
    knows: Literal["honest", "coalition"] = "honest"

    def __post_init__(self) -> None:
        check_positive("eps", self.eps)
        check_knows(self.knows)

    def start(self, seen_KD: Tensor) -> Tensor:
        return seen_KD.new_zeros(seen_KD.shape[1])

    def direction(self, seen_KD: Tensor) -> Tensor:
        return -seen_KD.mean(0)

    def strength(self, known: Known) -> float:
        return self.eps
