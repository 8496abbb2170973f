"""Rounds that are only half of one: computing without communication, and communication without computing."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from foedus.core.coordination.federation import Federation
from foedus.core.errors import NodeFailed
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.job import Job, NodeState, NodeView, Parts, Work
from foedus.core.types.model import Model
from foedus.core.types.state import State
from foedus.core.types.update import Tensors, Update


class _First:
    """The first rows of a node."""

    def __init__(self, rows: object, count: int) -> None:
        self._rows, self._count = rows, count

    def __len__(self) -> int:
        return self._count

    @property
    def in_memory(self) -> bool:
        return bool(self._rows.in_memory)  # type: ignore[attr-defined]

    def batch(self, positions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._rows.batch(torch.arange(self._count) if positions is None else positions)  # type: ignore[attr-defined, no-any-return]


@dataclass(frozen=True)
class Repeated:
    """A job done ``times`` in a row on a node's first ``rows`` rows. The answer is the seconds that each took."""

    job: Job
    rows: int
    times: int

    def work(self, rows: int) -> Work:
        one = self.job.work(min(rows, self.rows))
        return Work(self.times * one.trained, self.times * one.evaluated)

    def parts(self, model: Model) -> Parts:
        return {"seconds": ((self.times,), torch.float64)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        seconds = torch.zeros(self.times, dtype=torch.float64)
        rows = _First(node.rows, min(len(node.rows), self.rows))
        for i in range(self.times):
            started = time.perf_counter()
            # All rows of a node are asked for as such, as in a round: gathering them by position is other work.
            view = node if len(rows) == len(node.rows) else replace(node, rows=rows)
            self.job(replace(view, key=node.key.child("repeated", i)), args)
            seconds[i] = time.perf_counter() - started
        return Update({"seconds": seconds}, 1.0, {}, node.id), node.state


@dataclass(frozen=True)
class Computing:
    """The program of rounds without communication: every node repeats a job, one job a commit.

    The first job comes twice, to warm up. A commit's metrics ``seconds K I`` say how long node K took for its I-th.
    """

    jobs: tuple[Repeated, ...]

    async def __call__(self, fed: Federation) -> Tensor:
        s = await fed.begin(lambda w: State(w=w))
        planned = (self.jobs[0], *self.jobs)
        for t in fed.rounds(len(planned)):
            found: dict[str, float] = {}
            for k, a in enumerate(await fed.map(planned[t], {"w": s.w}, range(fed.nodes))):
                if not isinstance(a, Update):
                    raise NodeFailed(f"node {k} could not compute its job: {a.reason}")
                found |= {f"seconds {k} {i}": float(x) for i, x in enumerate(a["seconds"])}
            await fed.commit(s, metrics=found)
        return s.w  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Echo:
    """A job that computes nothing: the node sends back a vector as long as the one that it was sent."""

    length: int

    def work(self, rows: int) -> Work:
        return Work()

    def parts(self, model: Model) -> Parts:
        return {"gradient": (self.length,)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        # A gradient is fresh memory as well, and summed over rows.
        return Update({"gradient": args["w"].clone()}, 1.0, {"loss": 0.0}, node.id, summed=True), node.state


@dataclass(frozen=True)
class Echoes:
    """The program of rounds without computing: ``times`` rounds of each length, the step included."""

    lengths: tuple[int, ...]
    times: int
    aggregate: Aggregator

    async def __call__(self, fed: Federation) -> Tensor:
        s = await fed.begin(lambda w: State(w=w))
        for t in fed.rounds(self.times * len(self.lengths)):
            # Lengths take turns, so that a slow moment of the machine is every length's.
            length = self.lengths[t % len(self.lengths)]
            total = await fed.map_reduce(Echo(length), {"w": s.w[:length]}, range(fed.nodes), self.aggregate)
            w = s.w.clone()
            w[:length].sub_(total["gradient"], alpha=0.0)
            s = s.replace(w=w)
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]
