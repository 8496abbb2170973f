"""q-FFL: a fairer distribution of the loss over nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foedus.aggregators import Mean
from foedus.core.errors import BadInput
from foedus.jobs import FairSGD
from foedus.programs.fedavg import FedAvg


@dataclass(frozen=True)
class QFFL(FedAvg):
    """q-FedAvg, which minimises sum p_k F_k^(q+1) / (q+1) (Li et al., 2020, arXiv:1905.10497, Algorithm 2).

    The larger ``q``, the more a node counts whose loss is high; L of the paper is 1 / local.lr. p_k are the rows,
    and ``q=0`` is FedAvg. A node passes over its rows once more, for its loss.

    The weights are the algorithm, so that the aggregate is ``Mean()`` and nothing else; whoever sends a high loss
    gets a high weight, so that it withstands no liar.
    """

    q: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.q) and self.q >= 0):
            raise BadInput(f"q must be a non-negative number, got {self.q}")
        if self.aggregate != Mean():
            raise BadInput(f"q-FFL weighs nodes by their losses, which only Mean() does; got {self.aggregate}")

    def job(self, t: int) -> FairSGD:
        return FairSGD(self.local.at(t), self.q)
