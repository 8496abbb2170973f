"""Fine-tuning: the simplest personal models, and the ones that others have to beat."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.core.types.job import Job
from foedus.jobs import LocalSGD, TuneAndEvaluate
from foedus.programs.fedavg import FedAvg


@dataclass(frozen=True)
class FineTune(FedAvg):
    """FedAvg, whose model every node goes on training by itself (Wang et al., 2019, arXiv:1910.10252).

    ``tune`` says how; ``None`` is as ``local``. Nothing else changes: bytes, model and accuracy are FedAvg's, and
    ``train(evaluate_nodes=...)`` tells how good the tuned models are. They are made for that and not kept.
    Of a schedule it is the first rate that nodes tune with.
    """

    tune: LocalSGD | None = None

    @property
    def node_evaluation(self) -> Job:
        """What ``train(evaluate_nodes=...)`` asks of nodes."""
        return TuneAndEvaluate((self.local if self.tune is None else self.tune).at(0))
