"""Gossip: decentralised gradient descent, without a server."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from torch import Tensor

from foedus.core.coordination.peer import Peer, Topology
from foedus.core.errors import BadInput
from foedus.core.types.state import State
from foedus.core.types.update import BUFFERS, Update
from foedus.jobs import Gradient, LocalSGD
from foedus.jobs.schedules import Schedule
from foedus.programs.weights import check_objective, length, moved
from foedus.topologies import Absence, Metropolis, Mixing, Ring, Weights, describe, mix
from foedus.topologies.weights import TOLERANCE


@dataclass(frozen=True)
class Gossip:
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

    def __post_init__(self) -> None:
        if not callable(self.lr) and not (math.isfinite(self.lr) and self.lr >= 0):
            raise BadInput(f"lr must be a non-negative number or a schedule, got {self.lr}")
        check_objective(self.objective)
        Gradient(self.batch_size)  # says what is wrong with it

    def mixing(self, nodes: int) -> Mixing:
        """The matrices of all rounds."""
        return Mixing(self.topology, nodes, self.weights, self.absences)

    def prepare(self, nodes: int) -> str:
        """Check that it fits so many nodes; the graph in one line."""
        self.mixing(nodes).check()
        return describe(self.topology, nodes, self.weights)

    def check_lost(self, nodes: int) -> None:
        """Errors: ``BadInput`` where the mean would not stay what it is without a node: W has to be symmetric."""
        mixing = self.mixing(nodes)
        for start in sorted({0, *mixing.events}):
            for t in range(start, start + mixing.period):
                W = mixing.matrix(t)
                if float((W - W.T).abs().max()) > TOLERANCE:
                    i, j = divmod(int((W - W.T).abs().argmax()), nodes)
                    raise BadInput(
                        f"Gossip goes on without nodes that are lost only if its weights are symmetric: node {i} takes "
                        f"{float(W[i, j]):.6g} of node {j}, but {j} takes {float(W[j, i]):.6g} of {i}, and without one "
                        'of them the mean of the others would move. Use lost="abort", a graph whose edges all go both '
                        "ways with Metropolis() weights, or PushSum"
                    )

    async def __call__(self, peer: Peer) -> Tensor:
        mixing = self.mixing(peer.nodes)
        s = await peer.begin(State)
        for t in peer.rounds(self.rounds):
            if peer.id in mixing.away(t):
                await peer.commit(s, weight=0.0)
                continue
            if self.local is None:
                # Both start from the old models, so they go on at the same time.
                job, exchange = Gradient(self.batch_size), _mixed(peer, s.w, mixing, t)
                u, mixed = await asyncio.gather(peer.run(job, {"w": s.w}), exchange)
                lr = self.lr(t) if callable(self.lr) else self.lr
                w = _step(mixed, u, lr * length(self.objective, peer), peer.layout.parameters)
            else:
                u = await peer.run(self.local.at(t), {"w": s.w})
                w = await _mixed(peer, s.w + moved(self.objective, peer, u), mixing, t)
            s = s.replace(w=w)
            await peer.commit(s)
        return s.w  # type: ignore[no-any-return]


async def _mixed(peer: Peer, w: Tensor, mixing: Mixing, t: int) -> Tensor:
    """Send a model to this round's neighbours, and mix what they send."""
    graph = mixing.graph(t)
    own = {"w": w}
    near = await peer.exchange(own, to=graph.out[peer.id], frm=graph.into[peer.id], tag=t, instead=own)
    return mix(mixing.row(peer.id, t), {n: m["w"] for n, m in near.items()})


def _step(w: Tensor, u: Update, lr: float, p: int) -> Tensor:
    """A gradient step on the parameters (in place); float buffers move by their own difference."""
    value = u.value()
    w[:p].sub_(value["gradient"], alpha=lr)
    if BUFFERS in value:
        w[p:].add_(value[BUFFERS])
    return w
