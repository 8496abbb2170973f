"""FedProx: local steps that are held back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from foedus.core.errors import BadInput
from foedus.jobs import LocalSGD
from foedus.programs.fedavg import FedAvg


@dataclass(frozen=True)
class FedProx(FedAvg):
    """FedAvg on f_k(w) + mu/2 ||w - w_t||^2 (Li et al., 2020, arXiv:1812.06127, Algorithm 2).

    The proximal term keeps nodes with other data, or with more steps, near the model that they were given. It is
    ``FedAvg(local=LocalSGD(proximal=mu))`` under its own name; ``mu=0`` is FedAvg.
    """

    mu: float = 0.01

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mu) and self.mu >= 0):
            raise BadInput(f"mu must be a non-negative number, got {self.mu}")
        if self.local.proximal:
            raise BadInput(f"mu is the proximal term here: leave local.proximal at 0, got {self.local.proximal}")

    def job(self, t: int) -> LocalSGD:
        return replace(self.local, proximal=self.mu).at(t)
