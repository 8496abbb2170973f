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

    The larger ``q``, the more a node counts whose loss is high. p_k are the rows, and ``q=0`` is FedAvg. A node passes
    over its rows once more, for its loss. ``lipschitz`` is L of the paper, how steep the loss may get: the larger, the
    shorter the steps. ``None`` is the paper's 1 / local.lr, which is cautious where nodes take many steps.

    The weights are the algorithm, so that the aggregate is ``Mean()`` and nothing else; whoever sends a high loss
    gets a high weight, so that it withstands no liar.
    """

    q: float = 1.0
    lipschitz: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.q) and self.q >= 0):
            raise BadInput(f"q must be a non-negative number, got {self.q}")
        if self.lipschitz is not None and not (math.isfinite(self.lipschitz) and self.lipschitz > 0):
            raise BadInput(f"lipschitz must be a positive number, or None for 1 / local.lr; got {self.lipschitz}")
        if self.aggregate != Mean():
            raise BadInput(f"q-FFL weighs nodes by their losses, which only Mean() does; got {self.aggregate}")

    def job(self, t: int) -> FairSGD:
        return FairSGD(self.local.at(t), self.q, self.lipschitz)
