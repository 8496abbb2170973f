"""Local steps whose sum does not count how many they were: the job of FedNova."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.core.types.job import NodeState, NodeView, Work
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update
from foedus.jobs.local_sgd import LocalSGD


@dataclass(frozen=True)
class NormalizedSGD:
    """``local``, its ``delta`` divided by the weight of its steps: a node's mean direction (arXiv:2007.07481)."""

    local: LocalSGD = LocalSGD()

    def work(self, rows: int) -> Work:
        return self.local.work(rows)

    def most_weight(self, rows: int) -> float:
        return self.local.most_weight(rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return self.local.parts(model)

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        local = self.local.at_node(node)
        u, state = local(node, args)
        delta = u["delta"] / local.weight_of_steps(len(node.rows))
        return u.with_parts({**u.parts, "delta": delta}), state
