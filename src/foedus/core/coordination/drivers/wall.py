"""Rounds on the wall clock: what is waited for are the answers themselves, as an executor brings them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from foedus.core.coordination.call import Call
from foedus.core.coordination.drivers.driver import Driver
from foedus.core.coordination.executor import InOrder, Outcome, Plan, Result, Task
from foedus.core.coordination.round import Ask, Decision, Goes
from foedus.core.coordination.session import Session
from foedus.core.records.ledger import Costs
from foedus.core.time.clock import AFTER_ALL
from foedus.core.types.aggregator import MAX_BLOCKS, Fold
from foedus.core.types.job import Work
from foedus.core.types.update import Failed, Lost, Refused

Rest = Callable[[int, int, Work, float], float]
"""Seconds a node's ``count``-th job has still to take, when its computing took so many."""


class Wall(Driver):
    """Drives rounds by an executor that says when a task is done.

    Where every answer will be used, whole groups of blocks go to workers, and one accumulator a group comes back. Where
    it matters who is first, or who fails, every task is a group of its own; so it is where nodes are apart.
    """

    def __init__(self, session: Session, rest: Rest | None = None) -> None:
        super().__init__(session)
        self._rest = rest

    async def perform(self, call: Call) -> Any:
        each = self._s.executor.apart or not call.round.wants_all or call.round.until.failure == "retry"
        acc = await (_Each(self, call).answers() if each else self._whole(call))
        return self.conclude(call, acc, lambda p: self._spent(call, p))

    async def _whole(self, call: Call) -> Any:
        """All answers, folded by the workers."""
        call.round.asked()
        running = InOrder(self._s.executor, call.plan, call.placed, call.tasks())
        folded = None if call.plan.folds is None else Fold(call.plan.folds)
        places = {n: p for p, n in enumerate(call.nodes)}
        try:
            while running.left:
                if running.next is not None:
                    await self.done(running.next)
                size, result = running.take()
                if folded is not None:
                    folded.group(result.acc, size)
                for outcome in result.outcomes:
                    p = places[outcome.node]
                    call.outcomes[p], call.arrivals[p] = outcome, self._s.clock.now
                    if outcome.missing is None:
                        call.round.arrived(p)
                    else:
                        self.told(call, p, outcome.missing)
        finally:
            running.cancel()
        return None if folded is None else folded.result()

    def send(
        self, plan: Plan, task: Task, ticket: Any, sizes: tuple[int, int], arrived: Callable[[], None], saved: Any
    ) -> _Watched:
        trip = _Watched(self, sizes)
        self.watch(ticket, lambda: None if trip.cancelled else arrived())
        return trip

    async def at_peer(self, plan: Plan, placed: Any, task: Task, busy: Callable[[float], None]) -> Outcome:
        s = self._s
        ticket = s.executor.submit(plan, placed, [[task]])
        try:
            await self.done(ticket)
        except BaseException:
            s.executor.cancel(ticket)
            raise
        [outcome] = s.executor.wait(ticket).outcomes
        if self._rest is not None:
            work = plan.job.work(s.roster.size(task.node))
            rest = self._rest(task.node, task.count, work, outcome.seconds)
            if rest > 0:
                await s.until(s.clock.now + rest, task.node)
                outcome.seconds += rest
        busy(s.clock.now)
        return outcome

    def goes_on(self) -> Goes:
        return "always" if self._s.executor.goes_on else "never"

    def error(self, missing: Failed | Refused | Lost) -> Exception:
        if not isinstance(missing, Lost):
            return super().error(missing)
        executor = self._s.executor
        alone = len(executor.gone) == self._s.roster.nodes
        hint = "no other is left" if alone else 'with lost "skip", Processes goes on without a node that is lost'
        return super().error(replace(missing, reason=f"{missing.reason}; {hint}"))

    # -- waiting -----------------------------------------------------------------------------------------------

    def watch(self, ticket: Any, done: Callable[[], None]) -> None:
        """Call ``done`` from the loop when the ticket's result is at hand, whatever thread the executor says it in."""
        loop = asyncio.get_running_loop()

        def said() -> None:
            if asyncio._get_running_loop() is loop:
                done()
            else:
                with contextlib.suppress(RuntimeError):  # the run has ended meanwhile
                    loop.call_soon_threadsafe(done)

        self._s.executor.watch(ticket, said)

    async def done(self, ticket: Any) -> None:
        """Wait until the ticket's result is at hand."""
        future = asyncio.get_running_loop().create_future()
        self.watch(ticket, lambda: None if future.done() else future.set_result(None))
        await future

    # -- the books ---------------------------------------------------------------------------------------------

    def measured(self, outcome: Outcome | None, sizes: tuple[int, int]) -> Costs:
        """What a job cost: as its executor has measured, else what its tensors are and the seconds it took."""
        if outcome is None:
            return Costs() if self._s.executor.apart else Costs(bytes_down=sizes[0], messages_down=1)
        if outcome.costs is not None:
            return outcome.costs.copy()
        if self._s.executor.apart:
            return Costs(compute_s=outcome.seconds)
        return Costs(
            bytes_down=sizes[0],
            bytes_up=0 if isinstance(outcome.missing, Refused) else sizes[1],
            messages_down=1,
            messages_up=1,
            compute_s=outcome.seconds,
        )

    def _spent(self, call: Call, p: int) -> Costs:
        outcome = call.outcomes.get(p)
        cost = self.measured(outcome, (call.bytes_down + call.own_bytes(p), call.bytes_up))
        if outcome is not None:
            cost.samples = self._trained(call, p)
        if not self._s.executor.apart and outcome is not None and p in call.arrivals:
            cost.waiting_s = self._s.clock.now - call.arrivals[p]
        return cost


class _Watched:
    """A job that an executor has, of which nobody knows how far it is."""

    def __init__(self, driver: Wall, sizes: tuple[int, int]) -> None:
        self._driver, self._sizes = driver, sizes
        self.cancelled = self.there = False

    def costs(self, outcome: Outcome) -> Costs:
        return self._driver.measured(outcome, self._sizes)

    def snapshot(self) -> None:
        return None

    def cancel(self) -> None:
        self.cancelled = True


class _Each:
    """A call whose tasks are waited for one by one."""

    def __init__(self, driver: Wall, call: Call) -> None:
        self._driver, self._call, self._executor = driver, call, call.session.executor
        # Whoever computes folds its own block; where a block is several nodes, their updates are folded in order here.
        self._folds = len(call.nodes) <= MAX_BLOCKS
        self._plan = call.plan if self._folds else replace(call.plan, aggregator=None)
        self._tickets: dict[int, Any] = {}
        self._results: dict[int, Result] = {}
        self._events: asyncio.Queue[tuple[int | None, float]] = asyncio.Queue()

    async def answers(self) -> Any:
        """The accumulator of those that were in time."""
        call, clock, seconds = self._call, self._call.session.clock, self._call.round.until.seconds
        deadline = None if seconds is None else call.began + seconds
        alarm = None
        if deadline is not None:
            alarm = clock.schedule(deadline, AFTER_ALL, lambda: self._events.put_nowait((None, clock.now)))
        try:
            self._obey(call.round.asked())
            while not call.round.closed:
                p, when = await self._events.get()
                if p is None or (deadline is not None and when > deadline):
                    self._obey(call.round.time_is_up())
                else:
                    self._take(p, when)
        finally:
            if alarm is not None:
                alarm.cancel()
            for ticket in self._tickets.values():
                self._executor.cancel(ticket)
        return self._folded()

    def _obey(self, decisions: Sequence[Decision]) -> None:
        for d in decisions:
            match d:
                case Ask(p):
                    if p in self._call.outcomes:
                        self._call.again(p, self._driver._spent(self._call, p))
                        del self._call.outcomes[p]
                    self._ask(p)

    def _ask(self, p: int) -> None:
        ticket = self._executor.submit(self._plan, self._call.placed, [[self._call.task(p)]])
        self._tickets[p] = ticket
        clock = self._call.session.clock
        self._driver.watch(ticket, lambda: self._events.put_nowait((p, clock.now)))

    def _take(self, p: int, when: float) -> None:
        call = self._call
        result = self._executor.wait(self._tickets.pop(p))
        [outcome] = result.outcomes
        call.outcomes[p] = outcome
        if not isinstance(outcome.missing, Lost):
            call.arrivals[p] = when
        if outcome.missing is None:
            self._results[p] = result
            call.round.arrived(p)
        else:
            self._obey(self._driver.told(call, p, outcome.missing))

    def _folded(self) -> Any:
        """The answers, in the canonical order."""
        aggregator = self._call.plan.folds
        if aggregator is None:
            return None
        if not self._folds:
            return self._driver.folded(self._call, aggregator)
        folded = Fold(aggregator)
        for p in range(len(self._call.nodes)):  # a block is a node
            folded.group(self._results[p].acc if p in self._results else None)
        return folded.result()
