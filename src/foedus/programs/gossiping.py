"""What gossip programs share: a peer's step, and how it hears its neighbours' models.

Legend: P parameters, D = P + B with the float buffers.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from foedus.core.coordination.peer import Peer, Topology
from foedus.core.errors import BadInput
from foedus.core.types.model import Layout
from foedus.core.types.state import State
from foedus.core.types.suspicion import Suspicion
from foedus.core.types.update import BUFFERS, Tensors, Update, finite
from foedus.jobs import Gradient, LocalSGD
from foedus.jobs.schedules import Schedule
from foedus.programs.weights import check_objective, length, moved
from foedus.topologies import Absence, Mixing
from foedus.topologies.weights import TOLERANCE

NOTHING: Tensors = {}
"""What comes from a node that is lost."""


@dataclass(frozen=True)
class Heard:
    """What a peer has of a round: its ``own`` model (D,), and by ascending id its neighbours' ``models`` (D,).

    ``bad``: neighbours whose model is NaN or infinite, where the program defends itself. Those that are lost are
    neither here nor there.
    """

    own: Tensor
    models: Mapping[int, Tensor]
    bad: tuple[int, ...] = ()


@dataclass(frozen=True)
class Joined:
    """What a peer makes of what it has heard: a model ``w`` (D,), and which of its neighbours it suspects."""

    w: Tensor
    suspects: Mapping[int, Suspicion] = field(default_factory=dict)


class Gossiping:
    """A program in which every peer takes a step, and joins its neighbours' models with its own.

    A subclass is a frozen dataclass that has these fields, ``Gossip``'s, and says by ``joined`` how models are joined.
    ``robust``: models that are NaN or infinite are kept from ``joined``, which hears of them as ``bad``.
    """

    robust: ClassVar[bool]
    rounds: int
    topology: Topology
    lr: float | Schedule
    batch_size: int | None
    local: LocalSGD | None
    absences: tuple[Absence, ...]
    objective: str
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if not callable(self.lr) and not (math.isfinite(self.lr) and self.lr >= 0):
            raise BadInput(f"lr must be a non-negative number or a schedule, got {self.lr}")
        check_objective(self.objective)
        Gradient(self.batch_size)  # says what is wrong with it
        if not 0 <= self.momentum < 1:
            raise BadInput(f"momentum must be in [0, 1), got {self.momentum}")
        if self.momentum and self.local is not None:
            raise BadInput(
                f"momentum={self.momentum} is of the gradient step, in whose place local={self.local!r} stands: leave "
                "one of the two out"
            )

    def mixing(self, nodes: int) -> Mixing:
        """Who hears whom in all rounds, and with what weight."""
        raise NotImplementedError

    def joined(self, peer: Peer, heard: Heard, mixing: Mixing, t: int) -> Joined:
        """What becomes in round t of what a peer has heard."""
        raise NotImplementedError

    async def __call__(self, peer: Peer) -> Tensor:
        mixing = self.mixing(peer.nodes)
        s = await peer.begin(State)
        for t in peer.rounds(self.rounds):
            if peer.id in mixing.away(t):
                await peer.commit(s, weight=0.0)
                continue
            if self.local is None:
                # Both start from the old models, so they go on at the same time.
                job, exchange = Gradient(self.batch_size), self._exchange(peer, s.w, mixing, t)
                u, joined = await asyncio.gather(peer.run(job, {"w": s.w}), exchange)
                s, direction_P = self._direction(s, u)
                lr = self.lr(t) if callable(self.lr) else self.lr
                w = _step(joined.w, direction_P, u, lr * length(self.objective, peer))
            else:
                u = await peer.run(self.local.at(t), {"w": s.w})
                joined = await self._exchange(peer, s.w + moved(self.objective, peer, u), mixing, t)
                w = joined.w
            s = s.replace(w=w)
            await peer.commit(s, suspects=joined.suspects)
        return s.w  # type: ignore[no-any-return]

    async def _exchange(self, peer: Peer, own: Tensor, mixing: Mixing, t: int) -> Joined:
        """Send a model to this round's neighbours, and join with it what they send."""
        graph = mixing.graph(t)
        near = await peer.exchange({"w": own}, to=graph.out[peer.id], frm=graph.into[peer.id], tag=t, instead=NOTHING)
        models = {n: m["w"] for n, m in near.items() if n != peer.id and m is not NOTHING}
        bad = tuple(n for n, w in models.items() if self.robust and not finite({"w": w}))
        return self.joined(peer, Heard(own, {n: w for n, w in models.items() if n not in bad}, bad), mixing, t)

    def _direction(self, s: State, u: Update) -> tuple[State, Tensor]:
        """What a step goes along (P,): the gradient, or with momentum the mean of all so far, which forgets by this
        factor a step. The first mean is the first gradient.
        """
        g_P = u.value()["gradient"]
        if not self.momentum:
            return s, g_P
        mean_P = self.momentum * s.mean + (1 - self.momentum) * g_P if "mean" in s else g_P
        return s.replace(mean=mean_P), mean_P


def _step(w: Tensor, direction_P: Tensor, u: Update, lr: float) -> Tensor:
    """A step on the parameters (in place); float buffers move by their own difference."""
    p = len(direction_P)
    w[:p].sub_(direction_P, alpha=lr)
    if BUFFERS in u.parts:
        w[p:].add_(u.value()[BUFFERS])
    return w


def parts_of(w: Tensor, layout: Layout) -> Tensors:
    """A flat vector (D,) as named parts, float buffers apart from the parameters: ``join`` undoes it."""
    parts = {"delta": w[: layout.parameters]}
    if layout.buffers:
        parts[BUFFERS] = w[layout.parameters :]
    return parts


def check_neighbourhoods(mixing: Mixing, least: int, why: str) -> None:
    """Errors: ``BadInput`` for a peer that in some round has fewer than ``least`` models, its own among them; ``why``
    it needs so many is the beginning of the sentence.
    """
    for start in sorted({0, *mixing.events}):
        away = mixing.away(start)
        for t in range(start, start + mixing.period):
            for node, into in enumerate(mixing.graph(t).into):
                if node not in away and 1 + len(into) < least:
                    neighbours = f"{len(into)} neighbour{'s' if len(into) != 1 else ''}"
                    raise BadInput(
                        f"{why}, and node {node} has {1 + len(into)} in round {t + 1}: its own and those of "
                        f"{neighbours}. Lower f, or use a graph with more edges, such as Complete() or Regular(degree)"
                    )


def check_symmetric(name: str, mixing: Mixing) -> None:
    """Errors: ``BadInput`` where the mean would not stay what it is without a node: W has to be symmetric."""
    for start in sorted({0, *mixing.events}):
        for t in range(start, start + mixing.period):
            W = mixing.matrix(t)
            if float((W - W.T).abs().max()) > TOLERANCE:
                i, j = divmod(int((W - W.T).abs().argmax()), mixing.nodes)
                raise BadInput(
                    f"{name} goes on without nodes that are lost only if its weights are symmetric: node {i} takes "
                    f"{float(W[i, j]):.6g} of node {j}, but {j} takes {float(W[j, i]):.6g} of {i}, and without one "
                    'of them the mean of the others would move. Use lost="abort", a graph whose edges all go both '
                    "ways with Metropolis() weights, or PushSum"
                )
