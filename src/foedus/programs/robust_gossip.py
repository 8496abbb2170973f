"""RobustGossip: every peer defends itself by a robust rule over its own and its neighbours' models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from foedus.aggregators import TrimmedMean
from foedus.core.coordination.peer import Peer, Topology
from foedus.core.types.aggregator import Aggregator, join
from foedus.core.types.model import join as flat
from foedus.core.types.suspicion import UNUSABLE
from foedus.core.types.transform import shapes_of
from foedus.core.types.update import Update
from foedus.jobs import LocalSGD
from foedus.jobs.schedules import Schedule
from foedus.programs.gossiping import Gossiping, Heard, Joined, check_neighbourhoods, parts_of
from foedus.programs.singly import check_single, least, needs
from foedus.topologies import Absence, Complete, Mixing, describe


@dataclass(frozen=True)
class RobustGossip(Gossiping):
    """Gossip in which a robust rule joins models, in place of a weighted mean; then the step of ``Gossip``.

    x_i <- rule({x_i} and {x_j : j sends to i}), as in BRIDGE (Fang, Yang and Bajwa 2022, arXiv:1908.08098), whose
    trimmed mean never trims the peer's own. Everybody counts alike, and the mean of all models does not stay what it
    is: who is left out by one neighbour need not be by another.

    ``topology``  complete by default: rules that take coordinates or models by vote leave a group of peers alone that
                  hear more of each other than of the rest, and on a sparse graph any few neighbours are such a group.
    ``rule``      an aggregator, for ``f`` dishonest neighbours of a peer: the peer's own model is one of those that it
                  joins. Float buffers are joined by themselves. It remembers nothing from round to round.
    ``centred``   the rule joins what models differ by from the peer's own: x_i <- x_i + rule({0} and {x_j - x_i}).
                  Nothing changes for rules that move along with their input, as most do. ``CGE(f)``, which leaves out
                  the f longest, then is nearest-neighbour averaging (Farhadkhani et al. 2023), and
                  ``CenteredClipping(radius)`` is ``ClippedGossip`` with equal weights.
    ``momentum``  the direction of a step is the mean of gradients that forgets by this factor; 0: the gradient. Proofs
                  of such rules need some: a single gradient is noise behind which a small lie can hide.
    The others as in ``Gossip``. A neighbour that sends NaN or infinity, or is lost, counts as the peer's own model.
    """

    rounds: int
    topology: Topology = Complete()
    rule: Aggregator = TrimmedMean(1)
    centred: bool = False
    lr: float | Schedule = 0.1
    batch_size: int | None = 10
    momentum: float = 0.0
    local: LocalSGD | None = None
    absences: tuple[Absence, ...] = ()
    objective: str = "nodes"
    robust: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_single(self.rule)

    def mixing(self, nodes: int) -> Mixing:
        """Who hears whom in all rounds."""
        return Mixing(self.topology, nodes, absences=self.absences)

    def prepare(self, nodes: int) -> str:
        """Check that it fits so many nodes; the graph in one line."""
        mixing = self.mixing(nodes)
        mixing.check_graph()
        check_neighbourhoods(mixing, least(self.rule), needs(self.rule, "models"))
        return describe(self.topology, nodes)

    def check_lost(self, nodes: int) -> None:
        """It goes on without nodes on any graph: for a lost neighbour stands the peer's own model."""

    def joined(self, peer: Peer, heard: Heard, mixing: Mixing, t: int) -> Joined:
        own, layout = heard.own, peer.layout
        models = {n: heard.models.get(n, own) for n in sorted((*mixing.graph(t).into[peer.id], peer.id))}
        if self.centred:  # in float64, in which no difference of finite float32 numbers overflows
            models = {n: w.double() - own for n, w in models.items()}
        updates = [Update(parts_of(w, layout), 1.0, node=n) for n, w in models.items()]
        parts, _, said = join(self.rule, updates, self.rule.init(shapes_of(updates[0].parts)))
        w = flat(parts, layout)
        suspects = {n: s for n, s in said.items() if n in heard.models} | dict.fromkeys(heard.bad, UNUSABLE)
        return Joined((own + w).to(own.dtype) if self.centred else w, suspects)
