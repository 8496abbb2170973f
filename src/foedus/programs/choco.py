"""CHOCO-SGD: gossip with compressed messages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from foedus.core.advice import Option
from foedus.core.coordination.peer import Peer, Topology
from foedus.core.errors import BadInput
from foedus.core.types.model import join
from foedus.core.types.state import State
from foedus.core.types.transform import Contraction, Transform, prepare
from foedus.core.types.update import Update
from foedus.jobs import LocalSGD
from foedus.programs.gossiping import parts_of
from foedus.programs.weights import check_objective, moved
from foedus.topologies import Metropolis, Mixing, Ring, Weights, describe, mix
from foedus.topologies.mixing import LARGEST, coupling
from foedus.transforms import TopK
from foedus.transforms.wrapper import SOME, known, scaled_down


@dataclass(frozen=True)
class Choco:
    """CHOCO-SGD (Koloskova, Stich and Jaggi 2019, arXiv:1902.00340, Algorithm 2).

    Every peer keeps an estimate x^_j of each neighbour's model and of its own; all who keep one keep the same bits.
    After its step it sends the compressed difference q_i = Q(x_i - x^_i), all add q_j to x^_j, and it moves by the
    estimates alone: x_i <- x_i + gamma sum_j W_ij (x^_j - x^_i). Without a compressor and with gamma = 1 that is
    gossip. The estimates start at the first model, which all peers share.

    ``gamma``     the consensus step, at most 1; the more is lost on the way, the less. None: what Theorem 2 of the
                  paper allows for this graph and the compressor's ``Contraction``, with which the models surely come
                  to agree. That is for the worst of all compressors that lose so much, and slow: for ``TopK`` 10 to
                  1,000 times as much often works, and the papers search for it.
    ``compress``  the compressor Q, such as ``TopK(0.1)``; no error feedback, for x^ is one already. What is unbiased
                  (``QSGD``, ``RandomK``) is scaled down by 1 / (1 + omega), so that the estimates come nearer to the
                  models with every message.
    ``objective``  ``"nodes"``: all count alike, as in the paper. ``"rows"``: a node's step is as many times as long
                  as it has more rows than the mean of all; choose a rate that suits the largest.
    ``weights``   W, doubly stochastic.
    """

    rounds: int
    topology: Topology = Ring()
    weights: Weights = Metropolis()
    gamma: float | None = None
    compress: Transform = TopK(0.1)
    local: LocalSGD = LocalSGD(steps=1, batch_size=10, lr=0.1)
    objective: str = "nodes"

    def __post_init__(self) -> None:
        check_objective(self.objective)
        if self.gamma is not None and not (math.isfinite(self.gamma) and 0 < self.gamma <= 1):
            raise BadInput(f"gamma lies in (0, 1], or is None; got {self.gamma}")
        known(self.compress, SOME, "CHOCO-SGD with")

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
        (compress,) = prepare((self.compress,), peer.layout)
        shapes = {k: (shape, torch.float32) for k, shape in peer.layout.answer("delta").items()}
        lost = known(compress, shapes, "CHOCO-SGD with")
        gamma = self.gamma if self.gamma is not None else self._gamma(lost, peer.nodes)
        near = (*mixing.graph(0).into[peer.id], peer.id)
        s = await peer.begin(lambda w: State(w=w, estimates=dict.fromkeys(sorted(near), w), memory={}))
        for t in peer.rounds(self.rounds):
            u = await peer.run(self.local.at(t), {"w": s.w})
            w = s.w + moved(self.objective, peer, u)
            difference = parts_of(w - s.estimates[peer.id], peer.layout)
            q, memory = compress.encode(Update(difference, 1.0), s.memory, peer.key("compress", t))
            sent = await peer.exchange(q.parts)
            came = {n: scaled_down(compress.decode(Update(m, 1.0), shapes), shapes, lost) for n, m in sent.items()}
            estimates = {n: s.estimates[n] + join(u.parts, peer.layout) for n, u in came.items()}
            mixed = mix(row, estimates) - estimates[peer.id]
            s = State(w=w.add_(mixed, alpha=gamma), estimates=estimates, memory=dict(memory))
            await peer.commit(s)
        return s.w  # type: ignore[no-any-return]

    def _gamma(self, lost: Contraction, nodes: int) -> float:
        """The consensus step for this graph. Errors: ``BadInput`` where Theorem 2 allows none."""
        if nodes > LARGEST:
            why = f"the matrix of more than {LARGEST} nodes is too large to look at"
        elif not lost.delta:
            why = f"of what {self.compress!r} is given no share is sure to arrive"
        elif gamma := consensus_step(lost.delta, *_coupling(self.topology, nodes, self.weights)):
            return gamma
        else:
            why = f"on {self.topology!r} a single step need not bring the models nearer to each other"
        raise BadInput(
            f"CHOCO-SGD knows no gamma that is surely small enough: {why}. Give it one, such as ",
            Option("gamma", 0.1, "program.choco"),
            ", and see in the record whether consensus_distance falls",
        )


def consensus_step(delta: float, rho: float, beta: float) -> float:
    """gamma of Theorem 2 (Koloskova et al. 2019, arXiv:1902.00340), with which disagreement shrinks by a factor of at
    least 1 - rho^2 delta / 82 a round; 0 for a ``delta`` or ``rho`` of 0.

    ``delta``  of the compressor. ``rho``, ``beta``  of W: ``topologies.mixing.coupling``.

    >>> round(consensus_step(delta=1.0, rho=1.0, beta=1.0), 4)
    0.0667
    """
    return rho**2 * delta / (16 * rho + rho**2 + 4 * beta**2 + 2 * rho * beta**2 - 8 * rho * delta)


@lru_cache(maxsize=16)
def _coupling(topology: Topology, nodes: int, weights: Weights) -> tuple[float, float]:
    return coupling(Mixing(topology, nodes, weights).matrix())
