"""Local steps on a loss that is bent so that all nodes agree at the optimum: the job of FedDyn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState, NodeView, Work
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update
from foedus.jobs.local_sgd import LocalSGD


@dataclass(frozen=True)
class DynamicSGD:
    """``local`` on f_i(w) - <g_i, w> + alpha/2 ||w - w0||^2 (arXiv:2111.04263, Algorithm 1).

    g_i is the node's state, zero at first; afterwards g_i <- g_i - alpha (w - w0), the gradient of f_i at w where the
    steps found the minimum.
    """

    local: LocalSGD = LocalSGD()
    alpha: float = 0.1

    def __post_init__(self) -> None:
        if self.local.proximal:
            raise BadInput(f"alpha is the proximal term here: leave local.proximal at 0, got {self.local.proximal}")

    def work(self, rows: int) -> Work:
        return self.local.work(rows)

    def most_weight(self, rows: int) -> float:
        return self.local.most_weight(rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return self.local.parts(model)

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        g_i = node.state["g"] if "g" in node.state else torch.zeros(node.model.layout.parameters)
        bent = replace(self.local, proximal=self.alpha)
        u, _ = bent(node, {"w": args["w"], "correction": -g_i})
        return u, {"g": g_i - self.alpha * u["delta"]}
