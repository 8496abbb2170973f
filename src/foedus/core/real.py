"""A call on real wires: every task goes to its node's own place, and what is waited for are the answers themselves.

``scatter`` is for one coordinator and nodes that answer when they answer; ``join`` for nodes that all run the program
and make the call together. Sums have the canonical order in both, so that the bits are those of a simulation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from foedus.core.aggregator import MAX_BLOCKS, MergeTree, blocks
from foedus.core.call import Call
from foedus.core.clock import settle
from foedus.core.errors import BadInput, NodeFailed
from foedus.core.execute import Outcome, Places, Result, Task, Together
from foedus.core.ledger import Costs
from foedus.core.session import Session, node_failed
from foedus.core.until import Until
from foedus.core.update import Failed

Failures = Callable[[dict[int, Outcome]], dict[int, Failed]]
"""Failures by position; raises where the program does not go on without."""


async def scatter(
    s: Session, executor: Places, call: Call, needed: int, until: Until, failures: Failures
) -> tuple[dict[int, Outcome], Any]:
    """Give all nodes their task, and wait until enough have answered: their outcomes, and the merged accumulator."""
    round_ = _Scattered(s, executor, call, needed, until, failures)
    try:
        for p in range(len(call.nodes)):
            round_.send(p)
        await round_.closed()
        return round_.outcomes, round_.folded()
    finally:
        round_.cancel()


class _Scattered:
    """The tasks of a call at their nodes. It closes when enough are back, nobody else can come, or time is up."""

    def __init__(self, s: Session, executor: Places, call: Call, needed: int, until: Until, failures: Failures) -> None:
        self._s, self._executor, self._call = s, executor, call
        self._needed, self._until, self._failures = needed, until, failures
        # A node folds its own block; where a block is several nodes, their updates are folded in order here.
        alone = len(call.nodes) <= MAX_BLOCKS
        self._plan = call.plan if alone else replace(call.plan, aggregator=None)
        self._tickets: dict[int, Any] = {}
        self._results: dict[int, Result] = {}
        self._error: BaseException | None = None
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outcomes: dict[int, Outcome] = {}

    def send(self, p: int) -> None:
        call, s = self._call, self._s
        node = call.nodes[p]
        task = Task(node, call.counts[p], s.node_state(node))
        ticket = self._tickets[p] = self._executor.submit(self._plan, call.placed, [[task]])
        self._executor.watch(ticket, lambda: self._done(p))

    def _done(self, p: int) -> None:
        if self._future.done():
            return
        try:
            result = self._executor.wait(self._tickets.pop(p))
            self._take(p, result)
        except BaseException as e:  # raised where the call is awaited, not in the loop
            self._error = e
            settle(self._future)
            return
        self._look()

    def _take(self, p: int, result: Result) -> None:
        call = self._call
        [outcome] = result.outcomes
        failed = outcome.failed
        if failed is None:
            call.arrivals[p] = self._s.clock.now
            self._results[p], self.outcomes[p] = result, outcome
        elif failed.lost:
            call.lost[p] = failed
            if not (self._executor.goes_on or self._until.failure != "abort"):
                raise gone(self._s, failed)
        elif self._failures({p: outcome}) and self._until.failure == "retry" and p not in call.retried:
            call.retried[p] = failed
            charge(self._s, call, p, outcome)
            call.counts[p] = self._s.next_count(call.nodes[p])
            self.send(p)
        else:
            call.failed[p] = failed
            self.outcomes[p] = outcome

    def _look(self) -> None:
        if len(self._call.arrivals) >= self._needed or not self._tickets:
            settle(self._future)

    async def closed(self) -> None:
        """Wait for the end of the call. Errors: what the program does not go on with."""
        self._look()
        alarm = None
        if self._until.seconds is not None:
            when = self._call.began + self._until.seconds
            alarm = self._s.clock.schedule(when, 2**62, lambda: settle(self._future))
        try:
            await self._future
        finally:
            if alarm is not None:
                alarm.cancel()
        if self._error is not None:
            raise self._error

    def folded(self) -> Any:
        """The accumulators of those that answered, merged in the canonical order."""
        aggregator, spans = self._call.plan.aggregator, blocks(len(self._call.nodes))
        if aggregator is None:
            return None
        tree = MergeTree(aggregator.merge)
        for span in spans:
            there = [self._results[p] for p in span if p in self._results]
            if self._plan.aggregator is not None:
                tree.push(there[0].acc if there else None)
                continue
            acc = aggregator.empty()
            for result in there:
                update, result.outcomes[0].update = result.outcomes[0].update, None
                acc = aggregator.add(acc, update)  # type: ignore[arg-type]
            tree.push(acc if there else None)
        return tree.result()

    def cancel(self) -> None:
        """Nobody waits for the rest."""
        for ticket in self._tickets.values():
            self._executor.cancel(ticket)
        self._tickets.clear()


async def join(
    s: Session, executor: Together, call: Call, until: Until, failures: Failures
) -> tuple[dict[int, Outcome], Any]:
    """Make a call together with all other nodes: everybody's outcomes, and the accumulator of them all."""
    if until.seconds is not None or until.needed(len(call.nodes)) < len(call.nodes):
        raise BadInput(
            f"{until!r} closes a round without the nodes that are late, and an exchange in which all join their "
            'answers has to wait for them: use exchange="server"'
        )
    while True:
        tasks = [
            [Task(call.nodes[p], call.counts[p], s.node_state(call.nodes[p])) for p in span]
            for span in blocks(len(call.nodes))
        ]
        result = executor.wait(executor.submit(call.plan, call.placed, tasks))
        outcomes = dict(enumerate(result.outcomes))
        lost = {p: o.failed for p, o in outcomes.items() if o.failed is not None and o.failed.lost}
        new = failures({p: o for p, o in outcomes.items() if p not in lost})
        again = [p for p in new if until.failure == "retry" and p not in call.retried]
        for p in again:
            call.retried[p] = new[p]
            charge(s, call, p, outcomes[p])
            call.counts[p] = s.next_count(call.nodes[p])
        if again:
            continue
        call.failed.update(new)
        call.lost.update(lost)
        # Everybody began at once, so that whoever computed for longest is whom the others waited for.
        came = sorted((o.seconds, p) for p, o in outcomes.items() if p not in new and p not in lost)
        call.arrivals.update({p: call.began + seconds for seconds, p in came})
        return {p: o for p, o in outcomes.items() if p not in lost}, result.acc


def charge(s: Session, call: Call, position: int, outcome: Outcome | None, awaited: float = 0.0) -> None:
    """Put on a node's account what was measured there for a job."""
    node = call.nodes[position]
    used = outcome is not None and outcome.failed is None
    cost = measured(outcome)
    done = 0.0 if outcome is None else call.plan.job.work(s.roster.size(node)).trained
    cost.charge(
        samples=done, jobs=1, dropped=0 if used else 1, lost_s=0.0 if used else cost.compute_s, awaited_s=awaited
    )
    s.ledger.charge(node, **vars(cost))


def measured(outcome: Outcome | None) -> Costs:
    """What a job was measured to cost at its node."""
    if outcome is None:
        return Costs()
    return Costs(compute_s=outcome.seconds) if outcome.costs is None else outcome.costs.copy()


def gone(s: Session, failed: Failed) -> NodeFailed:
    """The error for a node that is lost, where the run does not go on without."""
    alone = s.places is not None and len(s.places.gone) == s.roster.nodes
    hint = "no other is left" if alone else 'Processes(lost="skip") goes on without a node that is lost'
    return node_failed(s, replace(failed, reason=f"{failed.reason}; {hint}"))
