"""Ditto: a model for all, and beside it one for every node."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from foedus.core.errors import BadInput
from foedus.core.types.job import Job
from foedus.jobs import DittoSGD, EvaluateOwn, LocalSGD
from foedus.jobs.personal import EVERYTHING
from foedus.programs.fedavg import FedAvg


@dataclass(frozen=True)
class Ditto(FedAvg):
    """FedAvg, and at every node a second model v_k near it (Li et al., 2021, arXiv:2012.04221, Algorithm 1).

    v_k is trained on f_k(v) + lam/2 ||v - w||^2 whenever its node takes part, and never leaves it: the bytes and the
    global model are FedAvg's, to the bit, for any ``lam``. ``personal`` says how v_k is trained, ``None`` as ``local``.
    The run's accuracy is that of the global model; ``train(evaluate_nodes=...)`` tells how good the v_k are.
    A node whose answer was not used keeps the v_k that it had.
    """

    lam: float = 0.1
    personal: LocalSGD | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lam) and self.lam >= 0):
            raise BadInput(f"lam must be a non-negative number, got {self.lam}")
        if self.personal is not None and self.personal.proximal:
            raise BadInput(f"lam is the proximal term: leave personal.proximal at 0, got {self.personal.proximal}")

    @property
    def node_evaluation(self) -> Job:
        """What ``train(evaluate_nodes=...)`` asks of nodes."""
        return EvaluateOwn(EVERYTHING)

    def job(self, t: int) -> DittoSGD:
        personal = self.local if self.personal is None else self.personal
        return DittoSGD(self.local.at(t), replace(personal, proximal=self.lam).at(t))
