"""Rounds on virtual time: what takes how long is known beforehand, from a cost model of links and devices.

A delivery for every member goes down the wire, computes and comes back. Under a quorum or a deadline it is first found
out whose answer will be used, and only those are computed; whatever is computed takes no virtual time of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from foedus.core.coordination.call import Call
from foedus.core.coordination.drivers.driver import Driver
from foedus.core.coordination.executor import InOrder, Outcome, Plan, Task
from foedus.core.coordination.round import Ask, Decision, Raise
from foedus.core.records.ledger import Costs
from foedus.core.time.clock import AFTER_ALL, settle
from foedus.core.time.delivery import NEVER_ON, Delivery
from foedus.core.types.job import Work
from foedus.core.types.policy import Asked
from foedus.core.types.update import Failed, Lost, Refused

NOTHING = Work()


class Virtual(Driver):
    """Drives rounds by deliveries, in the order of their events."""

    async def perform(self, call: Call) -> Any:
        s, executor = self._s, self._s.executor
        # If every answer will be used, workers start at once; else it is known first whose will be.
        certain = call.round.wants_all and s.deliveries.reliable
        running: InOrder | None = None
        way = _Way(self, call)
        try:
            if certain:
                running = InOrder(executor, call.plan, call.placed, call.tasks())
            way.obey(call.round.asked())
            while True:
                await way.closed()
                if running is None:
                    running = InOrder(executor, call.plan, call.placed, call.tasks(call.round.came.keys()))
                acc = self._collect(call, running)
                running = None
                way.obey(self._failures(call, call.outcomes))
                if call.round.closed:
                    break
        finally:
            if running is not None:
                running.cancel()
            way.cancel()
        return self.conclude(call, acc, way.spent)  # what was cancelled is paid for as far as it went

    def send(
        self, plan: Plan, task: Task, ticket: Any, sizes: tuple[int, int], arrived: Callable[[], None], saved: Any
    ) -> Delivery:
        refused = self.refusal(plan, task.node, task.count)
        return self.deliver(plan, task.node, task.count, sizes, refused, lambda _: arrived(), saved=saved)

    async def at_peer(self, plan: Plan, placed: Any, task: Task, busy: Callable[[float], None]) -> Outcome:
        s = self._s
        ticket = s.executor.submit(plan, placed, [[task]])
        seconds = s.deliveries.compute_seconds(task.node, plan.job.work(s.roster.size(task.node)), task.count)
        busy(s.clock.now + seconds)
        await s.until(s.clock.now + seconds, task.node)
        [outcome] = s.executor.wait(ticket).outcomes
        outcome.seconds = seconds
        return outcome

    def virtual_s(self, now: float) -> float:
        return now

    def hint(self, call: Call) -> str:
        fastest, seconds = min(d.least_s for d in call.trips if d is not None), call.round.until.seconds
        if seconds is not None and fastest > seconds:
            return f"the fastest of the last cohort takes {fastest:.3g} s; raise the deadline"
        lost = sum(isinstance(m, Lost) for m in call.round.missing.values())
        return (
            f"the fastest of the last cohort takes {fastest:.3g} s when it is on and the server's link is free, but of "
            f"{len(call.nodes)} nodes {lost} went off or dropped out, and the others were off or still busy; raise the "
            "deadline, or ask nodes that are on, Available(cohort)"
        )

    def refusal(self, plan: Plan, node: int, count: int) -> Refused | None:
        """A node's refusal, which it knows before it computes."""
        if node < 0:
            return None
        return self._s.policy.refuses(Asked(node, count, plan.job, plan.transforms, plan.aggregator))

    def deliver(
        self,
        plan: Plan,
        node: int,
        count: int,
        sizes: tuple[int, int],
        refused: Refused | None,
        arrived: Callable[[Delivery], None],
        lost: Callable[[Delivery, str], None] | None = None,
        saved: Any = None,
    ) -> Delivery:
        """Send a job on its way."""
        s = self._s
        down, up = sizes if refused is None else (sizes[0], 0)
        work = plan.job.work(s.roster.size(node)) if refused is None else NOTHING
        return s.deliveries.send(node, count, work, down, up, arrived, saved, not s.communicates, lost)


class _Way:
    """The deliveries of one call. Its round goes on in the events of the clock."""

    def __init__(self, driver: Virtual, call: Call) -> None:
        self._driver, self._call = driver, call
        self._reliable = call.session.deliveries.reliable
        self._waiting: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._refused: dict[int, Refused] = {}
        call.trips = [None] * len(call.nodes)

    def obey(self, decisions: Sequence[Decision]) -> None:
        """Do what the round says."""
        for d in decisions:
            match d:
                case Ask(p):
                    if self._call.trips[p] is not None:
                        self._call.again(p, self.spent(p))
                    self._send(p)
                case Raise(missing):
                    self._error = self._error or self._driver.error(missing)
        if self._waiting is not None and (self._call.round.closed or self._error is not None):
            settle(self._waiting)

    def _send(self, p: int) -> None:
        call, driver = self._call, self._driver
        node, count = call.nodes[p], call.counts[p]
        refused = driver.refusal(call.plan, node, count)
        if refused is not None:
            self._refused[p] = refused
        lost = None if self._reliable else (lambda delivery, reason: self._note_lost(p, delivery, reason))
        sizes = call.bytes_down + call.own_bytes(p), call.bytes_up
        call.trips[p] = driver.deliver(call.plan, node, count, sizes, refused, lambda _: self._arrived(p), lost)

    def _arrived(self, p: int) -> None:
        call = self._call
        if call.round.over:
            return
        call.arrivals[p] = call.session.clock.now
        refused = self._refused.pop(p, None)
        self.obey(call.round.arrived(p) if refused is None else call.round.refused(p, refused))

    def _note_lost(self, p: int, delivery: Delivery, reason: str) -> None:
        call = self._call
        if call.round.over:
            return
        call.trips[p] = delivery  # it may be lost while it is being sent
        decisions = call.round.lost(p, Lost(call.nodes[p], reason, for_good=reason == NEVER_ON))
        self.obey([_with_advice(d) for d in decisions])

    async def closed(self) -> None:
        """Wait until the round is closed. Errors: what the round raises."""
        call = self._call
        if not call.round.closed and self._error is None:
            self._waiting, alarm = asyncio.get_running_loop().create_future(), None
            if call.round.until.seconds is not None:
                # Last among the events of its instant: an answer that arrives with the deadline is in time.
                when = call.began + call.round.until.seconds
                alarm = call.session.clock.schedule(when, AFTER_ALL, lambda: self.obey(call.round.time_is_up()))
            try:
                await self._waiting
            finally:
                self._waiting = None
                if alarm is not None:
                    alarm.cancel()
        if self._error is not None:
            raise self._error

    def spent(self, p: int) -> Costs:
        """What a member has cost so far."""
        call, delivery = self._call, self._call.trips[p]
        arrived = call.arrivals.get(p)
        cost: Costs = delivery.spent()
        done = 1.0
        if arrived is not None:
            cost.messages_down = cost.messages_up = 1
            cost.waiting_s = call.session.clock.now - arrived
        else:
            done = cost.compute_s / delivery.compute_s if delivery.compute_s else 0.0
        cost.samples = self._driver._trained(call, p) * done
        return cost

    def cancel(self) -> None:
        """Nobody waits for the rest."""
        for delivery in self._call.trips:
            if delivery is not None:  # Ctrl-C can come before the last was sent
                delivery.cancel()


def _with_advice(d: Decision) -> Decision:
    if not isinstance(d, Raise):
        return d
    reason = (
        f'it {d.missing.reason}, and the round needs its answer; failure="skip" goes on without, "retry" asks again '
        "when it is back"
    )
    return Raise(Failed(d.missing.node, reason))
