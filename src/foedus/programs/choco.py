"""CHOCO-SGD: gossip with compressed messages."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from foedus.core.coordination.peer import Peer, Topology
from foedus.core.errors import BadInput
from foedus.core.types.model import Layout, join
from foedus.core.types.state import State
from foedus.core.types.transform import Transform, shapes_of
from foedus.core.types.update import BUFFERS, Tensors, Update
from foedus.jobs import LocalSGD
from foedus.programs.weights import check_objective, length
from foedus.topologies import Metropolis, Mixing, Ring, Weights, describe, mix
from foedus.transforms import TopK


@dataclass(frozen=True)
class Choco:
    """CHOCO-SGD (Koloskova, Stich and Jaggi 2019, arXiv:1902.00340, Algorithm 2).

    Every peer keeps an estimate x^_j of each neighbour's model and of its own; all who keep one keep the same bits.
    After its step it sends the compressed difference q_i = Q(x_i - x^_i), all add q_j to x^_j, and it moves by the
    estimates alone: x_i <- x_i + gamma sum_j W_ij (x^_j - x^_i). Without a compressor and with gamma = 1 that is
    gossip. The estimates start at the first model, which all peers share.

    ``gamma``     the consensus step, at most 1; the more is lost on the way, the less.
    ``compress``  the compressor Q, such as ``TopK(0.1)``; no error feedback, for x^ is one already.
    ``objective``  ``"nodes"``: all count alike, as in the paper. ``"rows"``: a node's step is as many times as long
                  as it has more rows than the mean of all; choose a rate that suits the largest.
    ``weights``   W, doubly stochastic.
    """

    rounds: int
    topology: Topology = Ring()
    weights: Weights = Metropolis()
    gamma: float = 0.5
    compress: Transform = TopK(0.1)
    local: LocalSGD = LocalSGD(steps=1, batch_size=10, lr=0.1)
    objective: str = "nodes"

    def __post_init__(self) -> None:
        check_objective(self.objective)
        if not (math.isfinite(self.gamma) and 0 < self.gamma <= 1):
            raise BadInput(f"gamma lies in (0, 1], got {self.gamma}")

    def mixing(self, nodes: int) -> Mixing:
        """The matrix of every round."""
        return Mixing(self.topology, nodes, self.weights)

    def prepare(self, nodes: int) -> str:
        """Check that it fits so many nodes; the graph in one line."""
        mixing = self.mixing(nodes)
        if mixing.period > 1:
            raise BadInput(
                f"{self.topology!r} changes from round to round, but CHOCO-SGD keeps its estimates up by a message in "
                "every round: use a graph that stays, such as Exponential()"
            )
        mixing.check()
        return describe(self.topology, nodes, self.weights)

    async def __call__(self, peer: Peer) -> Tensor:
        mixing = self.mixing(peer.nodes)
        row = mixing.row(peer.id, 0)
        near = (*mixing.graph(0).into[peer.id], peer.id)
        s = await peer.begin(lambda w: State(w=w, estimates=dict.fromkeys(sorted(near), w), memory={}))
        for t in peer.rounds(self.rounds):
            u = await peer.run(self.local.at(t), {"w": s.w})
            w = s.w + length(self.objective, peer) * join(u.parts, peer.layout)
            difference = _parts(w - s.estimates[peer.id], peer.layout)
            q, memory = self.compress.encode(Update(difference, 1.0), s.memory, peer.key("compress", t))
            sent = await peer.exchange(q.parts)
            estimates = {
                n: s.estimates[n] + join(self.compress.decode(Update(m, 1.0), shapes_of(difference)).parts, peer.layout)
                for n, m in sent.items()
            }
            mixed = mix(row, estimates) - estimates[peer.id]
            s = State(w=w.add_(mixed, alpha=self.gamma), estimates=estimates, memory=dict(memory))
            await peer.commit(s)
        return s.w  # type: ignore[no-any-return]


def _parts(vector_D: Tensor, layout: Layout) -> Tensors:
    """A flat vector as a message: transforms leave the float buffers alone."""
    parts = {"delta": vector_D[: layout.parameters]}
    if layout.buffers:
        parts[BUFFERS] = vector_D[layout.parameters :]
    return parts
