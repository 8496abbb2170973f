"""FedAvgM: momentum at the server."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.optimizers import SGD
from foedus.programs.fedavg import FedAvg


@dataclass(frozen=True)
class FedAvgM(FedAvg):
    """FedAvg with server momentum: v <- beta v + delta, w <- w + lr v (Hsu et al., 2019, arXiv:1909.06335)."""

    server: SGD = SGD(lr=1.0, momentum=0.9)
