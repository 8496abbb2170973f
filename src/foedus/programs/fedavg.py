"""Federated averaging."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators import Mean
from foedus.core.coordination.federation import Federation
from foedus.core.coordination.until import All, Until
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.job import Job
from foedus.core.types.state import State
from foedus.core.types.transform import Transform
from foedus.jobs import LocalSGD
from foedus.optimizers import SGD, ServerOptimizer
from foedus.programs.weights import objective
from foedus.sampling import Cohort, Fraction


@dataclass(frozen=True)
class FedAvg:
    """Federated averaging (McMahan et al., 2017, arXiv:1602.05629, Algorithm 1).

    Every round a cohort trains on its own rows and sends what changed; the mean of the changes, weighted by rows,
    is the server's step. ``E`` of the paper is ``local.epochs``, ``B`` is ``local.batch_size``, ``C`` the cohort.
    With another server optimiser it is FedOpt (arXiv:2003.00295), with server momentum FedAvgM (arXiv:1909.06335).
    """

    rounds: int
    cohort: Cohort = Fraction(1.0)
    local: LocalSGD = LocalSGD(epochs=1, batch_size=10, lr=0.1)
    aggregate: Aggregator = Mean()
    server: ServerOptimizer = SGD(lr=1.0)
    transforms: tuple[Transform, ...] = ()
    until: Until = All()

    @property
    def objective(self) -> str:
        """What nodes count: by ``"rows"`` under a mean by rows, under any other rule ``"nodes"`` count alike."""
        return objective(self.aggregate)

    def job(self, t: int) -> Job:
        """What nodes are asked in round t; the one thing in which some of its relatives differ."""
        return self.local.at(t)

    async def __call__(self, fed: Federation) -> Tensor:
        s = await fed.begin(lambda w: State(w=w, server=self.server.init(w)))
        for t in fed.rounds(self.rounds):
            nodes = await fed.sample(self.cohort)
            total = await fed.map_reduce(
                self.job(t), {"w": s.w}, nodes, self.aggregate, transforms=self.transforms, until=self.until
            )
            s = self.server.step(s, total)
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]
