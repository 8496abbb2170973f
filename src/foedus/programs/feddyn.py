"""FedDyn: nodes' losses are bent until they agree where the optimum is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators import Mean
from foedus.core.coordination.federation import Federation
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.state import State
from foedus.jobs import DynamicSGD
from foedus.programs.fedavg import FedAvg
from foedus.programs.weights import share


@dataclass(frozen=True)
class FedDyn(FedAvg):
    """Dynamic regularisation (Acar et al., 2021, arXiv:2111.04263, Algorithm 1).

    A node minimises f_i(w) - <g_i, w> + alpha/2 ||w - w_t||^2 and remembers in g_i what its gradient was there. The
    server keeps h, the mean of all g_i, and moves to the mean of the models minus h/alpha. The bytes of FedAvg, and
    a vector of state at every node. Take as many local steps as a minimum needs: what they miss of it, g_i is wrong by.

    Nodes count alike, as in the paper; under ``Mean()`` they count by rows.
    """

    aggregate: Aggregator = Mean(weighted=False)
    alpha: float = 0.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise BadInput(f"alpha must be a positive number (0 would be FedAvg), got {self.alpha}")
        self.job(0)  # says what does not fit

    def job(self, t: int) -> DynamicSGD:
        return DynamicSGD(self.local.at(t), self.alpha)

    async def __call__(self, fed: Federation) -> Tensor:
        p = fed.layout.parameters
        s = await fed.begin(lambda w: State(w=w, server=self.server.init(w), h=w.new_zeros(p)))
        for t in fed.rounds(self.rounds):
            nodes = await fed.sample(self.cohort)
            total = await fed.map_reduce(
                self.job(t), {"w": s.w}, nodes, self.aggregate, transforms=self.transforms, until=self.until
            )
            if total:
                part = share(self.aggregate, fed.sizes, total.arrived)
                h = s.h - self.alpha * part * total["delta"]
                s = self.server.step(s, {**total, "delta": total["delta"] - h / self.alpha}).replace(h=h)
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]
