"""Local steps from that of several models which suits a node best: the jobs of IFCA. Legend: K models, D numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from foedus.core.coordination.evaluation import AT_NODES, mean_loss
from foedus.core.types.job import NodeState, NodeView, Work
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update
from foedus.jobs.local_sgd import LocalSGD

CLUSTER = "cluster"
"""The metric in which a node says which model it chose."""


@dataclass(frozen=True)
class ClusteredSGD:
    """``local`` from that of ``args["models"]`` (K, D) whose loss on the node's rows is least (arXiv:2006.04088).

    Answers what ``local`` answers; the metric ``cluster`` says which model it was. ``models`` is K, so that the cost is
    known beforehand; one model needs no choice.
    """

    local: LocalSGD = LocalSGD()
    models: int = 1

    def work(self, rows: int) -> Work:
        return replace(self.local.work(rows), evaluated=self.models * rows if self.models > 1 else 0)

    def most_weight(self, rows: int) -> float:
        return self.local.most_weight(rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return self.local.parts(model)

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        chosen = choose(node, args["models"])
        u, state = self.local(node, {"w": args["models"][chosen]})
        return replace(u, metrics={**u.metrics, CLUSTER: float(chosen)}), state


@dataclass(frozen=True)
class EvaluateBest:
    """How good, on the rows that a node holds out, that of ``args["models"]`` is which suits its training rows best."""

    models: int = 1

    def work(self, rows: int) -> Work:
        return Work(evaluated=(self.models + 1) * rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return {}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        best = args["models"][choose(node, args["models"])]
        return AT_NODES(node, {"w": best})


def choose(node: NodeView, models_KD: Tensor) -> int:
    """Which model has the least loss on the node's rows; the first of those that are equal."""
    if len(models_KD) == 1:
        return 0
    losses = [mean_loss(node, w) for w in models_KD]
    return losses.index(min(losses))
