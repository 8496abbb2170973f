"""Stream: asynchronous work. Nodes compute at their own pace, and the program absorbs answers as they arrive."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from foedus.core.coordination.call import unused
from foedus.core.coordination.collusion import collude_late
from foedus.core.coordination.drivers.driver import Trip
from foedus.core.coordination.executor import Plan, Task
from foedus.core.coordination.session import Session
from foedus.core.errors import BadInput, ProgramError
from foedus.core.records.ledger import Costs
from foedus.core.time.clock import settle
from foedus.core.types.suspicion import UNUSABLE
from foedus.core.types.transform import nbytes, shapes_of
from foedus.core.types.update import Failed, Lost, Refused, Tensors, Update


@dataclass
class _Flight:
    """A job in flight."""

    task: Task
    version: int
    args: Tensors
    placed: Any
    ticket: Any
    trip: Trip | None = None

    @property
    def node(self) -> int:
        """Whose job it is."""
        return self.task.node


class Stream:
    """Owns the jobs in flight. Within ``async with``: ``send``, ``publish``, and ``async for update in updates``.

    ``idle``     nodes without a job, ascending: all of them at first, none that a resumed run finds in flight.
    ``busy``     nodes with a job, ascending.
    ``version``  how many models were published; an update's staleness is how many since its node was given its job.
    ``args``     what the node of the update in hand was given with its job.
    ``over``     whether the run has its commits, or a stop rule has ended it.

    A node that has no answer, for it refused its job, is ``out``: its word is in ``failed``, and it is not among the
    idle. A program may ``send`` it a job all the same, and then it is back. So it is with ``failure="skip"`` for a node
    whose job failed, and for one that was lost where the run goes on without. ``robust``: so it is, whatever
    ``failure`` says, for a node whose answer is NaN, infinite or nothing that its job can answer.

    The iteration ends when the run is over, or when nothing is in flight.
    """

    def __init__(self, session: Session, plan: Plan, commits: int | None, failure: str, robust: bool) -> None:
        if failure not in ("abort", "skip"):
            raise BadInput(f"unknown failure policy {failure!r} for a stream: use 'abort' or 'skip'")
        self._s, self._plan, self._commits, self._failure = session, plan, commits, failure
        self._robust = robust
        self.failed: list[Failed | Refused | Lost] = []
        self.args: Tensors = {}
        self._flights: dict[int, _Flight] = {}
        self._arrived: deque[_Flight] = deque()
        self._waiter: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Stream:
        s = self._s
        if s.in_flight is not list:
            raise ProgramError("one stream at a time: this program already has one open")
        s.in_flight = self._snapshot
        self.version = s.carried.version
        if self._commits is not None:
            s.planned = self._commits
        for saved in s.resumed_in_flight:
            task = Task(saved["node"], saved["count"], saved["state"])
            self._launch(task, saved["version"], saved["args"], saved["delivery"])
        if s.resumed_in_flight:
            s.deliveries.down.restore(s.resumed_links["down"])
            s.deliveries.up.restore(s.resumed_links["up"])
        s.resumed_in_flight = []
        return self

    async def __aexit__(self, *_: object) -> None:
        for flight in [*self._flights.values(), *self._arrived]:
            if flight.trip is not None:
                flight.trip.cancel()
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
        """Nodes whose last job has no answer, in the order in which that was known."""
        return self._s.carried.out

    @property
    def over(self) -> bool:
        """Whether the run has its commits, or a stop rule has ended it."""
        return self._s.stopped or (self._commits is not None and self._s.round >= self._commits)

    def publish(self, w_D: Tensor) -> None:
        """There is a new version of the model."""
        self.version += 1
        self._s.carried.version = self.version

    def send(self, node: int, args: Tensors, waited: float = 0.0) -> None:
        """Give a node the job with these arguments. It must be idle. ``waited``: seconds it had to, for the books."""
        if node in self._flights or any(f.node == node for f in self._arrived):
            raise ProgramError(f"node {node} already has a job: wait for its answer before you send another")
        if not 0 <= node < self._s.roster.nodes:
            raise ProgramError(f"there is no node {node}: their ids are 0..{self._s.roster.nodes - 1}")
        if waited:
            self._s.ledger.charge(node, Costs(waiting_s=waited))
        if node in self.out:
            self._s.carried.out = tuple(n for n in self.out if n != node)
        self._launch(Task(node, self._s.next_count(node), self._s.node_state(node)), self.version, args, None)

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

    def _launch(self, task: Task, version: int, args: Tensors, saved: Any) -> None:
        s, args = self._s, dict(args)
        placed = s.executor.place(args)
        flight = _Flight(task, version, args, placed, s.executor.submit(self._plan, placed, [[task]]))
        self._flights[task.node] = flight
        sizes = nbytes(shapes_of(args)), self._plan.bytes_up(s.model)
        flight.trip = s.driver.send(self._plan, task, flight.ticket, sizes, lambda: self._arrive(flight), saved)
        if flight.trip.there:
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
        missing = outcome.missing
        assert flight.trip is not None
        cost = flight.trip.costs(outcome)
        cost.jobs, cost.samples = 1, self._plan.job.work(s.roster.size(flight.node)).trained
        unused(cost, missing)
        s.ledger.charge(flight.node, cost)
        if missing is not None:
            goes_on = isinstance(missing, Refused) or (isinstance(missing, Lost) and s.executor.goes_on)
            if self._robust and isinstance(missing, Failed) and (missing.nonfinite or missing.invalid):
                goes_on = True
                s.note_suspects({flight.node: UNUSABLE})
            if self._failure == "abort" and not goes_on:
                raise s.driver.error(missing)
            self.failed.append(missing)
            if isinstance(missing, Failed):
                s.note_left_out(missing)
            s.carried.out = (*self.out, flight.node)
            return None
        if s.policy.collusion is not None:
            collude_late(s, self._plan, flight.args, outcome)
        s.accept_node_state(flight.node, outcome.state)
        staleness = self.version - flight.version
        s.note(1, outcome.weight, outcome.metrics.get("loss"), staleness)
        assert outcome.update is not None
        self.args = flight.args
        return replace(outcome.update, staleness=staleness)

    def _snapshot(self) -> list[Any]:
        # Arrived answers that nobody has taken come first, in their order: they arrive again at once.
        return [
            {
                "node": f.node,
                "count": f.task.count,
                "version": f.version,
                "args": dict(f.args),
                "state": f.task.state,
                "delivery": None if f.trip is None else f.trip.snapshot(),
            }
            for f in [*self._arrived, *self._flights.values()]
        ]
