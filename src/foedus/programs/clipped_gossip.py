"""ClippedGossip: decentralised learning among dishonest neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from foedus.core.coordination.peer import Peer, Topology
from foedus.core.errors import BadInput
from foedus.core.types.suspicion import UNUSABLE
from foedus.jobs import LocalSGD
from foedus.jobs.schedules import Schedule
from foedus.programs.gossiping import Gossiping, Heard, Joined, check_neighbourhoods, check_symmetric
from foedus.programs.suspects import suspicions
from foedus.topologies import Absence, Metropolis, Mixing, Ring, Weights, describe, mix


@dataclass(frozen=True)
class ClippedGossip(Gossiping):
    """Gossip in which a neighbour moves a peer no further than a radius (He, Karimireddy and Jaggi 2022,
    arXiv:2202.01545, Algorithm 1).

    x_i <- x_i + sum_j W_ij clip(x_j - x_i, tau_i), where clip shortens what is longer than tau_i to this length; then
    the step of ``Gossip``. A single neighbour moves x_i by W_ij tau_i at the most, whatever it sends. One that sends
    NaN or infinity moves it by nothing.

    ``tau``       the radius, of all peers and rounds. None: of each peer and round the paper's, sqrt(sum_j W_ij
                  ||x_j - x_i||^2 / delta_i), in which the sum, of honest neighbours there, is of all but the ``f``
                  farthest, for nobody knows who is honest; delta_i is the weight of ``f`` neighbours (the largest).
    ``f``         dishonest neighbours of a peer that this radius withstands; 0: nothing is clipped.
    ``momentum``  the direction of a step is the mean of gradients that forgets by this factor; 0: the gradient. The
                  paper's proof needs some: a single gradient is noise behind which a small lie can hide.
    The others as in ``Gossip``, which it is with ``tau=math.inf``. The paper steps first and then mixes: so does
    ``local=LocalSGD(steps=1)``.

    How far it holds depends on the graph: the honest peers have to be connected without the others, and what dishonest
    neighbours weigh at a peer has to be small against the squared spectral gap of the honest peers' graph.
    """

    rounds: int
    topology: Topology = Ring()
    weights: Weights = Metropolis()
    tau: float | None = None
    f: int = 1
    lr: float | Schedule = 0.1
    batch_size: int | None = 10
    momentum: float = 0.0
    local: LocalSGD | None = None
    absences: tuple[Absence, ...] = ()
    objective: str = "nodes"
    robust: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tau is not None and not self.tau >= 0:
            raise BadInput(f"tau is a distance of models, at least 0, or None for one that adapts; got {self.tau}")
        if self.f < 0:
            raise BadInput(f"f, the dishonest neighbours of a peer, must be at least 0; got {self.f}")

    def mixing(self, nodes: int) -> Mixing:
        """The matrices of all rounds."""
        return Mixing(self.topology, nodes, self.weights, self.absences)

    def prepare(self, nodes: int) -> str:
        """Check that it fits so many nodes; the graph in one line."""
        mixing = self.mixing(nodes)
        mixing.check()
        if self.tau is None and self.f:
            check_neighbourhoods(
                mixing, self.f + 2, f"ClippedGossip(f={self.f}) takes its radius from all neighbours but the f farthest"
            )
        return describe(self.topology, nodes, self.weights)

    def check_lost(self, nodes: int) -> None:
        """Errors: ``BadInput`` where the mean would not stay what it is without a node, if nobody were clipped."""
        check_symmetric("ClippedGossip", self.mixing(nodes))

    def joined(self, peer: Peer, heard: Heard, mixing: Mixing, t: int) -> Joined:
        row, x = mixing.row(peer.id, t), heard.own
        distance = {j: _distance(x_j, x) for j, x_j in heard.models.items()}
        tau = self.tau if self.tau is not None else self._radius(row, distance, len(heard.bad), peer.id)
        factor = {j: min(1.0, tau / d) if d else 1.0 for j, d in distance.items()}
        # What is clipped off, and who is not heard, is the peer's own model: written as weights, so that without
        # clipping the sum is Gossip's, bit by bit.
        taken = {j: row[j] * factor.get(j, 0.0) for j in row if j != peer.id}
        own = row[peer.id] + math.fsum(row[j] - taken[j] for j in taken)
        w = mix(dict(sorted({**taken, peer.id: own}.items())), {j: heard.models.get(j, x) for j in row})
        off = {j: _distance(x_j, w) for j, x_j in {**heard.models, peer.id: x}.items()}
        said = suspicions({j: 1.0 - c for j, c in factor.items()}, off)
        return Joined(w, said | dict.fromkeys(heard.bad, UNUSABLE))

    def _radius(self, row: Mapping[int, float], distance: Mapping[int, float], bad: int, me: int) -> float:
        weights = sorted((v for j, v in row.items() if j != me), reverse=True)
        delta = math.fsum(weights[: self.f])
        if not delta:
            return math.inf
        # Who sent no model is farther than all, and so among the f farthest.
        near = sorted(distance, key=lambda j: (distance[j], j))[: max(0, len(distance) + bad - self.f)]
        return math.sqrt(math.fsum(row[j] * distance[j] ** 2 for j in near) / delta)


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).norm())
