"""FedNova: nodes that take more steps do not pull the model towards themselves."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.core.coordination.federation import Federation
from foedus.core.types.state import State
from foedus.jobs import NormalizedSGD
from foedus.programs.fedavg import FedAvg
from foedus.programs.weights import weights


@dataclass(frozen=True)
class FedNova(FedAvg):
    """Normalised averaging (Wang et al., 2020, arXiv:2007.07481, equation 8).

    Nodes send the mean direction d_i of their steps, and the server goes tau times the mean of these, tau being the
    mean over the nodes that answered of the weight of their steps: their number, more under momentum. What is
    optimised then does not depend on who takes how many steps. With equal steps everywhere it is FedAvg.
    Transforms see the directions, not the differences.
    """

    def job(self, t: int) -> NormalizedSGD:
        return NormalizedSGD(self.local.at(t))

    async def __call__(self, fed: Federation) -> Tensor:
        s = await fed.begin(lambda w: State(w=w, server=self.server.init(w)))
        for t in fed.rounds(self.rounds):
            nodes = await fed.sample(self.cohort)
            job = self.job(t)
            total = await fed.map_reduce(
                job, {"w": s.w}, nodes, self.aggregate, transforms=self.transforms, until=self.until
            )
            if total:
                p = weights(self.aggregate, fed.sizes, total.arrived)
                steps = [job.local.weight_of_steps(fed.sizes[n]) for n in total.arrived]
                tau = sum(p_i * a_i for p_i, a_i in zip(p, steps, strict=True)) / sum(p)
                s = self.server.step(s, {**total, "delta": tau * total["delta"]})
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]
