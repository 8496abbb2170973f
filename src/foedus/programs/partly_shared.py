"""What FedPer, FedRep and FedBN share: some tensors of the model are averaged, the others are a node's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from foedus.core.coordination.federation import Federation
from foedus.core.errors import BadInput
from foedus.core.types.job import Job
from foedus.core.types.state import State
from foedus.jobs import EvaluateOwn, Named, Own, PersonalSGD
from foedus.jobs.division import Division, put, take
from foedus.programs.fedavg import FedAvg


@dataclass(frozen=True)
class PartlyShared(FedAvg):
    """FedAvg on the shared tensors. The others live in the nodes' states, and only what is shared travels.

    There is no one model of all, so the run's accuracy is that of all nodes with their own models, on the rows that
    they keep from training (on all their rows, where the data set has no such rows). In ``Run.vector`` the nodes' own
    numbers are those of the initial model. If nothing is a node's own, it is FedAvg.
    """

    @property
    def own(self) -> Own:
        """Which tensors are a node's own."""
        return Named()

    @property
    def node_evaluation(self) -> Job:
        """What ``train(evaluate_nodes=...)`` asks of nodes."""
        return EvaluateOwn(self.own)

    def job(self, t: int) -> PersonalSGD:
        return PersonalSGD(self.local.at(t), self.own)

    async def __call__(self, fed: Federation) -> Tensor:
        division = Division.of(fed.layout, self.own)
        if not division.parameters:
            raise BadInput("every parameter is a node's own, so that nothing would be shared: that is LocalOnly")
        has_head = division.parameters < fed.layout.parameters
        s = await fed.begin(lambda w: State(w=w, server=self.server.init(take(w, division.shared))))
        for t in fed.rounds(self.rounds):
            nodes = await fed.sample(self.cohort)
            shared = s.replace(w=take(s.w, division.shared))
            job = self.job(t) if has_head else replace(self.job(t), head=None)
            total = await fed.map_reduce(
                job, {"w": shared.w}, nodes, self.aggregate, transforms=self.transforms, until=self.until
            )
            shared = self.server.step(shared, total)
            s = shared.replace(w=put(s.w, division.shared, shared.w))
            await fed.commit(s, at_nodes={"w": s.w} if division.own else None)
        return s.w  # type: ignore[no-any-return]
