"""Gossip: decentralised gradient descent, without a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from foedus.core.coordination.peer import Peer, Topology
from foedus.jobs import LocalSGD
from foedus.jobs.schedules import Schedule
from foedus.programs.gossiping import Gossiping, Heard, Joined, check_symmetric
from foedus.topologies import Absence, Metropolis, Mixing, Ring, Weights, describe, mix


@dataclass(frozen=True)
class Gossip(Gossiping):
    """Decentralised parallel SGD (Lian et al. 2017, arXiv:1705.09056, Algorithm 1), and local SGD with mixing.

    Every peer computes a gradient at its own model, gets its neighbours' models meanwhile, mixes and steps:
    x_i <- sum_j W_ij x_j - lr g_i(x_i). With ``local`` it trains first and mixes what came of it:
    x_i <- sum_j W_ij (x_j + delta_j), which on the complete graph is FedAvg.

    ``topology``    who talks to whom; connected.
    ``weights``     W, doubly stochastic in every round: so the mean of the models follows SGD on the mean gradient.
    ``lr``, ``batch_size``  of the gradient step; of no use with ``local``.
    ``local``       a job such as ``LocalSGD(epochs=5)`` in place of the gradient.
    ``objective``   ``"nodes"``: all count alike, as in the paper. ``"rows"``: a node's step is as many times as long
                    as it has more rows than the mean of all; choose a rate that suits the largest.
    ``absences``    who is away in which rounds. W is made anew among the others, and who comes back goes on from the
                    model it left with. Nobody waits.

    For a neighbour whose process is lost, where the run goes on without, stands the peer's own model: what it gave the
    lost one's is its own again. With a symmetric W that is doubly stochastic among those that are left.
    """

    rounds: int
    topology: Topology = Ring()
    weights: Weights = Metropolis()
    lr: float | Schedule = 0.1
    batch_size: int | None = 10
    local: LocalSGD | None = None
    absences: tuple[Absence, ...] = ()
    objective: str = "nodes"
    robust: ClassVar[bool] = False

    def mixing(self, nodes: int) -> Mixing:
        """The matrices of all rounds."""
        return Mixing(self.topology, nodes, self.weights, self.absences)

    def prepare(self, nodes: int) -> str:
        """Check that it fits so many nodes; the graph in one line."""
        self.mixing(nodes).check()
        return describe(self.topology, nodes, self.weights)

    def check_lost(self, nodes: int) -> None:
        """Errors: ``BadInput`` where the mean would not stay what it is without a node."""
        check_symmetric("Gossip", self.mixing(nodes))

    def joined(self, peer: Peer, heard: Heard, mixing: Mixing, t: int) -> Joined:
        row = mixing.row(peer.id, t)
        return Joined(mix(row, {n: heard.models.get(n, heard.own) for n in row}))
