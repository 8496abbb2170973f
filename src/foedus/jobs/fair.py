"""Local steps that count for more where the loss is high: the job of q-FFL."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from foedus.core.coordination.evaluation import mean_loss
from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState, NodeView, Work
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update
from foedus.jobs.local_sgd import LocalSGD

LEAST = 1e-10
"""A loss below this counts as this much: q - 1 may be a negative power of it."""


@dataclass(frozen=True)
class FairSGD:
    """``local``, weighed by the q-th power of the loss that the node has with ``args["w"]`` (arXiv:1905.10497).

    With F that loss, L ``lipschitz`` (None: 1/lr) and d the difference that ``local`` made, the paper's h is
    L (F^q + q F^(q-1) L ||d||^2) and its Delta is L F^q d. Here the weight is rows times h/L and ``delta`` is
    F^q d / (h/L), so that a weighted mean is the paper's sum of Delta over the sum of h.
    """

    local: LocalSGD = LocalSGD()
    q: float = 0.0
    lipschitz: float | None = None

    def work(self, rows: int) -> Work:
        return replace(self.local.work(rows), evaluated=rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return self.local.parts(model)

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        if callable(self.local.lr):
            raise BadInput("this job's learning rate is a schedule: give nodes FairSGD(local.at(t), q)")
        loss = max(LEAST, mean_loss(node, args["w"]))
        u, state = self.local(node, args)
        squared = float(torch.linalg.vector_norm(u["delta"], dtype=torch.float64)) ** 2
        constant = self.lipschitz or (1 / self.local.lr if self.local.lr else 0.0)  # steps of size 0 lead nowhere
        h = loss**self.q + self.q * loss ** (self.q - 1) * constant * squared
        delta = u["delta"] * (loss**self.q / h)
        return replace(u, parts={**u.parts, "delta": delta}, weight=u.weight * h), state
