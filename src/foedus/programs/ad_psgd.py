"""AD-PSGD: asynchronous gossip, two by two."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from torch import Tensor

from foedus.core.coordination.peer import Peer, Topology
from foedus.core.errors import BadInput
from foedus.core.types.state import State
from foedus.jobs import LocalSGD
from foedus.programs.weights import check_objective, moved
from foedus.topologies import Graph, Ring, describe, graph_of, require_connected

ASK, ANSWER, STEPPED = "ask", "answer", "stepped"


@dataclass(frozen=True)
class AdPsgd:
    """Asynchronous decentralised parallel SGD (Lian et al. 2018, arXiv:1710.06952, Algorithm 1).

    Every peer computes gradients at the model it has when it begins. A peer of the active side meanwhile averages its
    model with that of a neighbour drawn at random: both then have the mean. A peer of the passive side answers whoever
    asks, also while it computes. Each then steps from the model it has by that time. As every edge joins the two
    sides, no peer that waits for an answer is waited for.

    ``topology``  bipartite and undirected: a ring with an even number of nodes, a torus with even sides, a hypercube.
    ``local``     the step; ``LocalSGD(steps=1)`` is the paper's.
    ``bound``     how many steps a peer may be ahead of a neighbour when it begins another. All peers take ``rounds``
                  steps, and who is that far ahead waits: a peer that ran on by itself would leave the last word to the
                  slow. An active peer makes one average a step.
    ``seconds``   a commit every so many seconds of the runtime's clock, with as many steps as each peer manages, and
                  nobody waits for anybody: the fast do more, and count for more. A peer whose average is still under
                  way when it begins a step begins no other. None: a commit after every step, within ``bound``.
    ``objective``  ``"nodes"``: all count alike, as in the paper. ``"rows"``: a node's step is as many times as long
                  as it has more rows than the mean of all; choose a rate that suits the largest.

    The record's ``staleness`` is how many times a peer's model was averaged between the begin of its gradient and the
    step along it, the mean over peers; ``steps`` is how many steps a peer has taken, likewise. The bound is that of
    Luo et al. 2019 (arXiv:1902.01064), kept up by a message without content to every neighbour after a step.
    """

    rounds: int
    topology: Topology = Ring()
    local: LocalSGD = LocalSGD(steps=1, batch_size=10, lr=0.1)
    bound: int = 2
    seconds: float | None = None
    objective: str = "nodes"

    def __post_init__(self) -> None:
        check_objective(self.objective)
        if self.bound < 0:
            raise BadInput(f"bound is how many steps a peer may be ahead of a neighbour, at least 0; got {self.bound}")
        if self.seconds is not None and not self.seconds > 0:
            raise BadInput(f"seconds between two commits are more than 0, or None; got {self.seconds}")

    def prepare(self, nodes: int) -> str:
        """Check that it fits so many nodes; the graph in one line."""
        graph = graph_of(self.topology, nodes)
        if graph.directed:
            raise BadInput(f"AD-PSGD averages both ways, but {self.topology!r} has edges that go one way only")
        require_connected(graph, repr(self.topology), "Add edges between them, or leave nodes out")
        active_side(graph)
        return describe(self.topology, nodes)

    async def __call__(self, peer: Peer) -> Tensor:
        s = await peer.begin(lambda w: State(w=w, steps=0, averaged=0, stale=0, asked=None, given=None, finished=0))
        node = _Node(self, peer, s, active=peer.id in active_side(graph_of(self.topology, peer.nodes)))
        await (node.compute() if node.active else asyncio.gather(node.compute(), node.answer()))
        return node.s.w  # type: ignore[no-any-return]


class _Node:
    """One peer, whose coroutines share its state: one computes, the other averages."""

    def __init__(self, program: AdPsgd, peer: Peer, s: State, active: bool) -> None:
        self.program, self.peer, self.s, self.active = program, peer, s, active
        self.averaging: asyncio.Task[None] | None = None
        self.left_alone = asyncio.Event()

    async def compute(self) -> None:
        """Step and commit, round after round."""
        peer, rounds, seconds = self.peer, self.program.rounds, self.program.seconds
        for t in peer.rounds(rounds):
            before = self.s
            if seconds is None:
                await self.step_within_bound(t)
            else:
                while peer.now < (t + 1) * seconds:
                    began = peer.now
                    await self.step(t)
                    if peer.now == began:
                        raise BadInput("a commit every so many seconds needs a network in which a step takes time")
            if t == rounds - 1:
                await self.part()
            steps = self.s.steps - before.steps
            stale = {"staleness": (self.s.stale - before.stale) / steps} if steps else {}
            await peer.commit(self.s, metrics={"steps": float(self.s.steps), **stale})

    async def step_within_bound(self, t: int) -> None:
        """The (t + 1)-th step, with an average; begun when every neighbour has taken ``t - bound``."""
        near, bound = self.peer.neighbours, self.program.bound
        if t > bound:  # one more than was waited for before the last step
            for n in near:
                await self.peer.recv(STEPPED, n)
        await self.step(t, with_average=True)
        if t + 1 + bound < self.program.rounds:  # later ones nobody waits for
            for n in near:
                await self.peer.send(n, {}, STEPPED)

    async def step(self, t: int, with_average: bool = False) -> None:
        """A gradient at the model of now, and a step from the model of then: after an average, which would undo it."""
        averaged, w = self.s.averaged, self.s.w
        if self.active:
            self.begin_average()
        u = await self.peer.run(self.program.local.at(t), {"w": w})
        if with_average:
            await self.end_average()
        self.s = self.s.replace(
            w=self.s.w + moved(self.program.objective, self.peer, u),
            steps=self.s.steps + 1,
            stale=self.s.stale + self.s.averaged - averaged,
        )

    def begin_average(self) -> None:
        """Average meanwhile, unless one average is still under way."""
        if self.averaging is not None:
            if not self.averaging.done():
                return
            self.averaging.result()  # raises what it raised
        self.averaging = asyncio.create_task(self.average())

    async def end_average(self) -> None:
        """Wait for the average that is under way, in a resumed run too."""
        if self.averaging is not None:
            await self.averaging
        elif self.s.asked is not None:
            await self.average()

    async def average(self) -> None:
        """Active: have the mean of this model and a neighbour's; steps that are taken meanwhile stay."""
        peer, near = self.peer, self.peer.neighbours
        if not near:
            return
        if self.s.asked is None:
            n = near[int(peer.key("partner", self.s.steps).uniform() * len(near))]
            await peer.send(n, {"w": self.s.w}, ASK)
            self.s = self.s.replace(asked=n, given=self.s.w)  # a commit may come before the answer
        m = await peer.recv(ANSWER, self.s.asked)
        assert m is not None
        change = m.parts["w"] - self.s.given
        self.s = self.s.replace(w=self.s.w + change, averaged=self.s.averaged + 1, asked=None, given=None)

    async def answer(self) -> None:
        """Passive: whoever asks, until all have said that they are done."""
        while self.s.finished < len(self.peer.neighbours):
            m = await self.peer.recv(ASK)
            assert m is not None
            if not m.parts:
                self.s = self.s.replace(finished=self.s.finished + 1)
                continue
            mean = (self.s.w + m.parts["w"]) / 2
            self.s = self.s.replace(w=mean, averaged=self.s.averaged + 1)
            await self.peer.send(m.frm, {"w": mean}, ANSWER)
        self.left_alone.set()

    async def part(self) -> None:
        """At the end, what others still average with a passive peer belongs to its last model."""
        if not self.active:
            await self.left_alone.wait()
            return
        await self.end_average()
        for n in self.peer.neighbours:
            await self.peer.send(n, {}, ASK)  # nothing to average: this peer is done


def active_side(graph: Graph) -> frozenset[int]:
    """The larger side of a bipartite graph, which asks. Errors: ``BadInput`` with an odd cycle of any other graph."""
    sides = graph.sides()
    if isinstance(sides, list):
        raise BadInput(
            f"AD-PSGD needs a bipartite graph, or peers that ask each other in a circle wait for ever; nodes "
            f"{', '.join(map(str, sides))} form an odd circle. Use a ring with an even number of nodes, a torus with "
            "even sides, a hypercube, a star, or take edges out until every circle is even"
        )
    one, other = sides
    return frozenset(one if len(one) >= len(other) else other)
