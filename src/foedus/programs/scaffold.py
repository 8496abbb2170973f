"""SCAFFOLD: control variates against the drift of nodes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators import Mean
from foedus.core.coordination.federation import Federation
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.state import State
from foedus.jobs import ControlledSGD
from foedus.programs.fedavg import FedAvg
from foedus.programs.weights import share


@dataclass(frozen=True)
class Scaffold(FedAvg):
    """Stochastic controlled averaging (Karimireddy et al., 2020, arXiv:1910.06378, Algorithm 1, option II).

    Every node remembers in c_i what its own gradients are like and corrects every step by c - c_i, c being the mean
    of all c_i: that holds after every round, whoever took part, for a node that never did has c_i = 0.
    Twice the bytes of FedAvg in both directions, and a vector of state at every node.

    ``aggregate`` joins the differences and, part by part in the same way, the changes of the c_i; c then moves by
    |S|/N of that. Nodes count alike, as in the paper; under ``Mean()`` they count by rows, and c is the mean by rows.
    Under a robust rule, or with transforms that lose something, c is what the server could make out.
    """

    aggregate: Aggregator = Mean(weighted=False)

    def job(self, t: int) -> ControlledSGD:
        return ControlledSGD(self.local.at(t))

    async def __call__(self, fed: Federation) -> Tensor:
        p = fed.layout.parameters
        s = await fed.begin(lambda w: State(w=w, server=self.server.init(w), c=w.new_zeros(p)))
        for t in fed.rounds(self.rounds):
            nodes = await fed.sample(self.cohort)
            total = await fed.map_reduce(
                self.job(t), {"w": s.w, "c": s.c}, nodes, self.aggregate, transforms=self.transforms, until=self.until
            )
            if total:
                s = self.server.step(s, total)
                s = s.replace(c=s.c + share(self.aggregate, fed.sizes, total.arrived) * total["control"])
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]
