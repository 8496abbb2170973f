"""Stochastic gradient push: gossip on directed graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.core.coordination.peer import Peer, Topology
from foedus.core.errors import BadInput, ProgramError
from foedus.core.types.state import State
from foedus.core.types.update import Tensors
from foedus.jobs import LocalSGD
from foedus.programs.weights import check_objective, moved
from foedus.topologies import Absence, Exponential, Mixing, Push, describe, mix

LEAST_MASS = 1e-6
"""Below it x / w says little: a step on x moves the model by 1 / w times as much."""

NOTHING: Tensors = {}
"""What comes from a node that is lost."""


@dataclass(frozen=True)
class PushSum:
    """Stochastic gradient push (Assran et al. 2019, arXiv:1811.10792, Algorithm 1).

    Every peer holds x and a mass w, at first the model and 1, and its model is z = x / w. It steps x along the gradient
    at z, divides x and w evenly among itself and those it sends to, and sums what it gets. Nobody needs to be sent to
    as often as it sends: any strongly connected graph does, and the sums of x and w over all peers stay what they are.

    ``local``     the step; ``LocalSGD(steps=1)`` is the paper's.
    ``objective``  ``"nodes"``: all count alike, as in the paper. ``"rows"``: a node's step is as many times as long
                  as it has more rows than the mean of all; choose a rate that suits the largest.
    ``absences``  who is away in which rounds. Who leaves hands x and w over to a neighbour that stays; who comes back
                  is given half of a neighbour's, and so that neighbour's model.

    Where a node's process is lost and the run goes on without, what it held and what was under way to it is lost, of x
    and of w alike, so that the mean by w is still a mean of models. From then on nothing is divided with it, and the
    sums over the others stay what they are.
    """

    rounds: int
    topology: Topology = Exponential()
    local: LocalSGD = LocalSGD(steps=1, batch_size=10, lr=0.1)
    absences: tuple[Absence, ...] = ()
    objective: str = "nodes"

    def __post_init__(self) -> None:
        check_objective(self.objective)

    def mixing(self, nodes: int) -> Mixing:
        """The matrices of all rounds."""
        return Mixing(self.topology, nodes, Push(), self.absences)

    def prepare(self, nodes: int) -> str:
        """Check that it fits so many nodes; the graph in one line."""
        mixing = self.mixing(nodes)
        mixing.check(doubly=False)
        for t in mixing.events:
            if t < self.rounds:
                transfers(mixing, t)
        return describe(self.topology, nodes, Push())

    def check_lost(self, nodes: int) -> None:
        """Errors: ``BadInput`` with absences: who leaves or comes back counts on a neighbour that may be lost."""
        if self.absences:
            raise BadInput(
                "PushSum with absences does not go on without nodes that are lost: who leaves or comes back hands over "
                'or is given x and w by a neighbour, which may be lost. Use lost="abort", or no absences'
            )

    async def __call__(self, peer: Peer) -> Tensor:
        mixing = self.mixing(peer.nodes)
        s = await peer.begin(lambda w: State(w=w, x=w, mass=1.0))
        for t in peer.rounds(self.rounds):
            s = await _transfer(peer, s, mixing, t)
            if peer.id in mixing.away(t):
                await peer.commit(s, weight=0.0)
                continue
            u = await peer.run(self.local.at(t), {"w": s.w})
            x = s.x + moved(self.objective, peer, u)
            x, mass = await _push(peer, x, s.mass, mixing, t)
            s = State(w=_model(peer, x, mass, t), x=x, mass=mass)
            await peer.commit(s, weight=s.mass)
        return s.w  # type: ignore[no-any-return]


async def _push(peer: Peer, x: Tensor, mass: float, mixing: Mixing, t: int) -> tuple[Tensor, float]:
    """Divide x and the mass among those this peer sends to and itself; the sums of what comes."""
    graph = mixing.graph(t)
    to = [n for n in graph.out[peer.id] if n not in peer.gone]
    share = 1.0 / (1 + len(to))
    shares = await peer.exchange(
        _message(x * share, mass * share), to=to, frm=graph.into[peer.id], tag=t, instead=NOTHING
    )
    near = {n: m for n, m in shares.items() if m is not NOTHING}
    received = mix(dict.fromkeys(near, 1.0), {n: m["x"] for n, m in near.items()})
    return received, sum(float(m["mass"]) for m in near.values())


async def _transfer(peer: Peer, s: State, mixing: Mixing, t: int) -> State:
    """What this peer has to do with those who leave and come back in round t."""
    if t not in mixing.events:
        return s
    leaving, returning = transfers(mixing, t)
    if peer.id in leaving:
        await peer.send(leaving[peer.id], _message(s.x, s.mass), f"heir {t}")
        s = s.replace(x=torch.zeros_like(s.x), mass=0.0)
    for leaver in (n for n, heir in leaving.items() if heir == peer.id):
        m = await peer.recv(f"heir {t}", leaver)
        assert m is not None
        s = s.replace(x=s.x + m.parts["x"], mass=s.mass + float(m.parts["mass"]))
    for guest in (n for n, host in returning.items() if host == peer.id):
        s = s.replace(x=s.x / 2, mass=s.mass / 2)  # a half is exact
        await peer.send(guest, _message(s.x, s.mass), f"host {t}")
    if peer.id in returning:
        m = await peer.recv(f"host {t}", returning[peer.id])
        assert m is not None
        s = s.replace(x=m.parts["x"], mass=float(m.parts["mass"]))
    return s.replace(w=_model(peer, s.x, s.mass, t)) if s.mass else s


def _message(x: Tensor, mass: float) -> dict[str, Tensor]:
    return {"x": x, "mass": torch.tensor(mass, dtype=torch.float64)}


def _model(peer: Peer, x: Tensor, mass: float, t: int) -> Tensor:
    """z = x / w. Errors: ``ProgramError`` for a mass near zero."""
    if mass < LEAST_MASS:
        raise ProgramError(
            f"node {peer.id}'s push-sum weight fell to {mass:.2g} in round {t}, and its model is what it holds divided "
            f"by that: too little comes to it from the others. Give it more edges from nodes that are sent much, or "
            "fewer edges of its own"
        )
    return x / mass


def transfers(mixing: Mixing, t: int) -> tuple[dict[int, int], dict[int, int]]:
    """Who leaves in round t and who takes what it has; who comes back and who gives it a half.

    Errors: ``BadInput`` where no neighbour that is there before and after can.
    """
    before, now = mixing.away(t - 1), mixing.away(t)
    stay = {n for n in range(mixing.nodes) if n not in before | now}
    graph = mixing.whole

    def first(node: int, candidates: Sequence[int], what: str) -> int:
        found = next((n for n in candidates if n in stay), None)
        if found is None:
            raise BadInput(
                f"node {node} {what} in round {t}, but of its neighbours {list(candidates)} none is there before and "
                "after: let absences begin and end in different rounds, or give the graph more edges"
            )
        return found

    leaving = {n: first(n, graph.out[n], "leaves and has to hand over what it holds") for n in sorted(now - before)}
    returning = {n: first(n, graph.into[n], "comes back and needs a model") for n in sorted(before - now)}
    return leaving, returning
