"""Hierarchical averaging: nodes, edge servers, cloud. Legend: D numbers of the model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators import Mean
from foedus.core.coordination.federation import Federation
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import fold
from foedus.core.types.model import join
from foedus.core.types.state import State
from foedus.core.types.update import BUFFERS, Update
from foedus.programs.fedavg import FedAvg
from foedus.programs.weights import weights


@dataclass(frozen=True)
class Hierarchical(FedAvg):
    """HierFAVG: edge servers average their nodes, the cloud averages the edges (Liu et al., 2020, arXiv:1905.06641).

    In a round the cloud gives its model to ``edges`` servers. Each of them goes through ``edge_rounds`` rounds of
    averaging with its own nodes, all at the same time, and sends back what changed; the cloud's mean counts an edge
    as its nodes count. kappa_1 of the paper are the steps of ``local``, kappa_2 is ``edge_rounds``. With one edge
    round it is FedAvg. Nodes belong to edges in runs of consecutive ids; the cohort is drawn from all of them.

    The ledger counts what passes between nodes and edges. What passes between edges and cloud, 4 D bytes an edge and
    a round each way, is in ``Record.metrics``: ``cloud_bytes_up`` and ``cloud_bytes_down``, since the start of the run;
    it takes no virtual time. ``until`` is asked of every edge's nodes by themselves.
    """

    edges: int = 2
    edge_rounds: int = 1

    def __post_init__(self) -> None:
        if self.edges < 1 or self.edge_rounds < 1:
            raise BadInput(f"edges and edge_rounds count from 1 up, got {self.edges} and {self.edge_rounds}")

    def edge_of(self, node: int, nodes: int) -> int:
        """The edge server of one of so many nodes."""
        return node * self.edges // nodes

    async def __call__(self, fed: Federation) -> Tensor:
        if self.edges > fed.nodes:
            raise BadInput(f"{self.edges} edge servers for {fed.nodes} nodes: lower edges")
        model_bytes = 4 * fed.layout.size
        s = await fed.begin(lambda w: State(w=w, server=self.server.init(w), cloud_up=0, cloud_down=0))
        for t in fed.rounds(self.rounds):
            groups: dict[int, list[int]] = {}
            for n in await fed.sample(self.cohort):
                groups.setdefault(self.edge_of(n, fed.nodes), []).append(n)
            changes = await asyncio.gather(*(self._edge(fed, t, s.w, nodes) for nodes in groups.values()))
            arrived = [u for u in changes if u.weight]
            total, _ = fold(Mean(), arrived)
            s = self.server.step(s, total)
            s = s.replace(
                cloud_up=s.cloud_up + len(arrived) * model_bytes, cloud_down=s.cloud_down + len(groups) * model_bytes
            )
            await fed.commit(s, extra={"cloud_bytes_up": s.cloud_up, "cloud_bytes_down": s.cloud_down})
        return s.w  # type: ignore[no-any-return]

    async def _edge(self, fed: Federation, t: int, w_D: Tensor, nodes: list[int]) -> Update:
        """What one edge's rounds change in the model, and what its nodes count; 0 if none of them answered."""
        change_D, weight = w_D.new_zeros(len(w_D)), 0.0
        for _ in range(self.edge_rounds):
            total = await fed.map_reduce(
                self.job(t),
                {"w": w_D + change_D},
                nodes,
                self.aggregate,
                transforms=self.transforms,
                until=self.until,
            )
            if total:
                change_D = change_D + join(total, fed.layout)
                weight += sum(weights(self.aggregate, fed.sizes, total.arrived))
        p = fed.layout.parameters
        parts = {"delta": change_D[:p], BUFFERS: change_D[p:]} if fed.layout.buffers else {"delta": change_D}
        return Update(parts, weight)
