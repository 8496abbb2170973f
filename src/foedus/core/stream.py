"""Stream: asynchronous work. Nodes compute at their own pace, and the program absorbs answers as they arrive."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from foedus.core import real
from foedus.core.clock import settle
from foedus.core.delivery import Delivery
from foedus.core.errors import BadInput, Diverged, NodeFailed, ProgramError
from foedus.core.execute import Outcome, Plan, Task, Ticket, message_bytes
from foedus.core.session import Session, diverged, node_failed
from foedus.core.transform import nbytes, shapes_of
from foedus.core.update import Failed, Tensors, Update


@dataclass
class _Flight:
    node: int
    count: int
    version: int
    args: Tensors
    state: dict[str, Any]
    placed: Any
    ticket: Ticket
    delivery: Delivery | None
    """None on real wires, where nothing says how far a job is."""


class Stream:
    """Owns the jobs in flight. Within ``async with``: ``send``, ``publish``, and ``async for update in updates``.

    ``idle``     nodes without a job, ascending: all of them at first, none that a resumed run finds in flight.
    ``busy``     nodes with a job, ascending.
    ``version``  how many models were published; an update's staleness is how many since its node was given its job.
    ``args``     what the node of the update in hand was given with its job.
    ``over``     whether the run has its commits, or a stop rule has ended it.

    With ``failure="skip"`` the run goes on without a node whose job failed: ``failed`` holds its answer, ``out`` its
    id, and it is not among the idle. A program may ``send`` it a job all the same, and then it is back.

    The iteration ends when the run is over, or when nothing is in flight.
    """

    def __init__(self, session: Session, plan: Plan, commits: int | None, failure: str) -> None:
        if failure not in ("abort", "skip"):
            raise BadInput(f"unknown failure policy {failure!r} for a stream: use 'abort' or 'skip'")
        self._s, self._plan, self._commits, self._failure = session, plan, commits, failure
        self.failed: list[Failed] = []
        self.args: Tensors = {}
        self._flights: dict[int, _Flight] = {}
        self._arrived: deque[_Flight] = deque()
        self._waiter: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Stream:
        s = self._s
        if s.in_flight is not list:
            raise ProgramError("one stream at a time: this program already has one open")
        s.in_flight = self._snapshot
        self.version = int(s.extra.get("version", 0))
        if self._commits is not None:
            s.planned = self._commits
        for saved in s.resumed_in_flight:
            self._launch(
                saved["node"], saved["count"], saved["version"], saved["args"], saved["state"], saved["delivery"]
            )
        if s.resumed_in_flight:
            s.wires.down.restore(s.resumed_links["down"])
            s.wires.up.restore(s.resumed_links["up"])
        s.resumed_in_flight = []
        return self

    async def __aexit__(self, *_: object) -> None:
        for flight in [*self._flights.values(), *self._arrived]:
            if flight.delivery is not None:
                flight.delivery.cancel()
            self._s.executor.cancel(flight.ticket)
            self._s.executor.release(flight.placed)
        self._s.in_flight = list

    @property
    def idle(self) -> list[int]:
        """Nodes without a job, but for those that are out."""
        taken = {*self._flights, *(f.node for f in self._arrived), *self.out}
        return [n for n in range(self._s.roster.nodes) if n not in taken]

    @property
    def busy(self) -> list[int]:
        """Nodes with a job."""
        return sorted([*self._flights, *(f.node for f in self._arrived)])

    @property
    def out(self) -> tuple[int, ...]:
        """Nodes whose last job failed, in the order in which they did."""
        return tuple(self._s.extra.get("out", ()))

    @property
    def over(self) -> bool:
        """Whether the run has its commits, or a stop rule has ended it."""
        return self._s.stopped or (self._commits is not None and self._s.round >= self._commits)

    def publish(self, w_D: Tensor) -> None:
        """There is a new version of the model."""
        self.version += 1
        self._s.extra["version"] = self.version

    def send(self, node: int, args: Tensors, waited: float = 0.0) -> None:
        """Give a node the job with these arguments. It must be idle. ``waited``: seconds it had to, for the books."""
        if node in self._flights or any(f.node == node for f in self._arrived):
            raise ProgramError(f"node {node} already has a job: wait for its answer before you send another")
        if not 0 <= node < self._s.roster.nodes:
            raise ProgramError(f"there is no node {node}: their ids are 0..{self._s.roster.nodes - 1}")
        if waited:
            self._s.ledger.charge(node, waiting_s=waited)
        if node in self.out:
            self._s.extra["out"] = [n for n in self.out if n != node]
        count = self._s.next_count(node)
        self._launch(node, count, self.version, args, self._s.node_state(node), None)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Update:
        while True:
            if self.over:
                raise StopAsyncIteration
            if not self._arrived:
                if not self._flights:
                    raise StopAsyncIteration
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
                self._waiter = None
            update = self._land(self._arrived.popleft())
            if update is not None:
                return update

    def _launch(
        self, node: int, count: int, version: int, args: Tensors, state: dict[str, Any], saved: dict[str, Any] | None
    ) -> None:
        s = self._s
        down, up = message_bytes(self._plan, nbytes(shapes_of(args)), s.model)
        args = dict(args)
        placed = s.executor.place(args)
        ticket = s.executor.submit(self._plan, placed, [[Task(node, count, state)]])
        work = self._plan.job.work(s.roster.size(node))
        flight = _Flight(node, count, version, args, state, placed, ticket, None)
        self._flights[node] = flight
        if s.places is not None:
            s.places.watch(ticket, lambda: self._arrive(flight))
            return
        flight.delivery = s.wires.send(
            node, count, work, down, up, lambda _: self._arrive(flight), saved, not s.communicates
        )
        if flight.delivery.stage == "arrived":
            self._arrive(flight)  # before the run was stopped, but nobody had taken it

    def _arrive(self, flight: _Flight) -> None:
        if self._flights.get(flight.node) is not flight:
            return  # the stream has ended meanwhile
        del self._flights[flight.node]
        self._arrived.append(flight)
        if self._waiter is not None:
            settle(self._waiter)

    def _land(self, flight: _Flight) -> Update | None:
        s = self._s
        try:
            outcome = s.executor.wait(flight.ticket).outcomes[0]
        finally:
            s.executor.release(flight.placed)
        failed: Failed | None = outcome.failed
        self._charge(flight, outcome)
        if failed is not None:
            goes_on = failed.lost and s.places is not None and s.places.goes_on
            if self._failure == "abort" and not goes_on:
                raise _error(s, failed)
            self.failed.append(failed)
            s.extra["out"] = [*self.out, flight.node]
            return None
        s.accept_node_state(flight.node, outcome.state)
        staleness = self.version - flight.version
        s.note(1, outcome.weight, outcome.metrics.get("loss"), staleness)
        assert outcome.update is not None
        self.args = flight.args
        return replace(outcome.update, staleness=staleness)

    def _charge(self, flight: _Flight, outcome: Outcome) -> None:
        s, failed = self._s, outcome.failed
        samples = self._plan.job.work(s.roster.size(flight.node)).trained
        common = {"samples": samples, "jobs": 1, "dropped": 0 if failed is None else 1}
        if flight.delivery is None:
            cost = real.measured(outcome)
            cost.charge(**common, lost_s=0.0 if failed is None else cost.compute_s)  # type: ignore[arg-type]
            s.ledger.charge(flight.node, **vars(cost))
            return
        t = flight.delivery.times
        s.ledger.charge(
            flight.node,
            bytes_down=round(t.sent_down),
            bytes_up=round(t.sent_up),
            messages_down=1,
            messages_up=1,
            compute_s=t.compute_s if s.clock.virtual else outcome.seconds,
            wire_s=t.wire_s,
            off_s=t.off_s,
            lost_s=t.lost_s if failed is None else t.compute_s,
            **common,
        )

    def _snapshot(self) -> list[Any]:
        # Arrived answers that nobody has taken come first, in their order: they arrive again at once.
        return [
            {
                "node": f.node,
                "count": f.count,
                "version": f.version,
                "args": dict(f.args),
                "state": f.state,
                "delivery": None if f.delivery is None else f.delivery.snapshot(),
            }
            for f in [*self._arrived, *self._flights.values()]
        ]


def _error(s: Session, failed: Failed) -> Diverged | NodeFailed:
    if failed.lost:
        return real.gone(s, failed)
    return diverged(s, failed) if failed.nonfinite else node_failed(s, failed)
