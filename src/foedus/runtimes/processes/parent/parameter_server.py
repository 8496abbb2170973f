"""The executor of a parameter server: jobs go to the nodes' processes, and are waited for as they come.

What concerns no node (the test set, all rows pooled) is computed here. A node that is lost answers with a failure.
"""

from __future__ import annotations

import contextlib
import logging
import select
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from foedus.core.aggregator import MergeTree
from foedus.core.clock import RealClock
from foedus.core.data import FederatedDataset
from foedus.core.errors import BadInput
from foedus.core.execute import RECEIVED, Blocks, Outcome, Plan, Result, Task, receive
from foedus.core.model import Model
from foedus.core.update import Failed, Tensors
from foedus.runtimes.channel import Closed
from foedus.runtimes.launch import refused
from foedus.runtimes.plans import Plans
from foedus.runtimes.processes.parent.process_group import NodeLost, ProcessGroup
from foedus.runtimes.processes.wire.kinds import Placement, Wire, to_nodes
from foedus.runtimes.results import unpack
from foedus.runtimes.simulation.inline import Inline

log = logging.getLogger("foedus")

AHEAD = 64
"""Groups in flight at the most, where many are wanted one after the other."""


class _Ticket:
    """A group of blocks; ``parts`` are the results of its tasks, by their place."""

    def __init__(self, plan: Plan, blocks: Blocks) -> None:
        self.plan, self.blocks = plan, blocks
        self.tasks = [task for block in blocks for task in block]
        self.parts: dict[int, Result] = {}
        self.missing = len(self.tasks)
        self.watcher: Callable[[], None] | None = None
        self.cancelled = False
        # A node folds its own answer, if it is the only one; one that is transformed has to be decoded here first.
        self.folded_there = len(self.tasks) == 1 and not plan.transforms
        self.inline: Any = None

    def result(self) -> Result:
        """All parts as one, folded in their order if they were not folded at their node."""
        outcomes = [outcome for i in range(len(self.tasks)) for outcome in self.parts[i].outcomes]
        aggregator = self.plan.aggregator
        if aggregator is None:
            return Result(None, outcomes)
        if self.folded_there:
            return Result(self.parts[0].acc, outcomes)
        tree, at = MergeTree(aggregator.merge), 0
        for block in self.blocks:
            updates = [o.update for o in outcomes[at : at + len(block)] if o.update is not None]
            acc = aggregator.empty()
            for update in updates:
                acc = aggregator.add(acc, update)
            tree.push(acc if updates else None)
            at += len(block)
        for outcome in outcomes:
            outcome.update = None
        return Result(tree.result(), outcomes)


class _Part:
    """A task at its node."""

    __slots__ = ("index", "placed", "ticket")

    def __init__(self, ticket: _Ticket, index: int, placed: Placement) -> None:
        self.ticket, self.index, self.placed = ticket, index, placed


class Server:
    """Runs every task at its node's process. It is ``core.execute.Places``."""

    ahead = AHEAD

    def __init__(
        self,
        group: ProcessGroup,
        clock: RealClock,
        model: Model,
        data: FederatedDataset,
        seed: int,
        goes_on: bool,
        wire: str,
    ) -> None:
        self.group, self.workers, self._goes_on, self._wire = group, group.nodes, goes_on, wire
        self.gone: dict[int, str] = {}
        self._refusal: BadInput | None = None
        self._clock = clock
        self._model, self._inline = model, Inline(model, data, seed)
        self._plans = Plans(group.nodes)
        self._wires: dict[int, Wire] = {}
        self._at: list[dict[int, _Part]] = [{} for _ in range(group.nodes)]
        self._open = False
        self._numbers = 0
        self._here_s = 0.0
        # By node, at its last answer: what ``_count`` counts.
        self._counted: list[tuple[float, ...]] = [(0,) * 7] * group.nodes
        self._poll = select.poll()
        self._rank_of: dict[int, int] = {}

    def open(self) -> None:
        """Have the nodes serve. Their answers are noticed by the clock's loop from now on."""
        self._open = True
        for rank, channel in enumerate(self.group.channels):
            try:
                channel.send({"role": "serve", "wire": self._wire})
            except Closed:
                self._broken(rank)
        while self.group.alive and not self._wires:
            nodes = sorted(self.group.alive)
            try:
                self._wires = dict(zip(nodes, to_nodes(self.group, self._wire), strict=True))
            except NodeLost as e:  # then those that are left are connected
                self._lost(e.rank, e.reason)
        for rank, wire in self._wires.items():
            self._rank_of[wire.fileno()] = rank
            self._poll.register(wire, select.POLLIN)
            self._clock.loop.add_reader(wire, self._readable, rank)
        self.group.watch(self._clock.loop, self._lost)

    @property
    def goes_on(self) -> bool:
        """Whether the run goes on without a node that is lost: not without the last."""
        return self._goes_on and len(self.gone) < self.workers

    # -- the executor ------------------------------------------------------------------------------------------

    def place(self, args: Tensors) -> Placement:
        """Write arguments once for all nodes."""
        return Placement(self._wire, self.group.segments, args)

    def release(self, placed: Placement) -> None:
        """The caller is done with them."""
        placed.release()

    def submit(self, plan: Plan, placed: Placement, blocks: Blocks) -> _Ticket:
        """Send every task to its node at once."""
        ticket = _Ticket(plan, blocks)
        if not self._open or any(task.node < 0 for task in ticket.tasks):
            ticket.inline = self._inline.submit(plan, placed.tensors(), blocks)
            return ticket
        for index, task in enumerate(ticket.tasks):
            self._give(ticket, index, task, placed)
        return ticket

    def watch(self, ticket: Any, done: Callable[[], None]) -> None:
        """Call ``done`` from the clock's loop when the result is there."""
        if ticket.inline is not None or not ticket.missing:
            self._clock.loop.call_soon(done)
        else:
            ticket.watcher = done

    def wait(self, ticket: Any) -> Result:
        """The result; takes messages until it is there."""
        if ticket.inline is not None:
            started = time.perf_counter()
            result: Result = self._inline.wait(ticket.inline)
            self._here_s += time.perf_counter() - started
            return result
        while ticket.missing:
            # A node that is lost is told of by the loop, which does not run now: its wire's end says it as well.
            events = self._poll.poll(1000 * self.group.interval)
            for fd, kind in events:
                if fd in self._rank_of:
                    (self._writable if kind & select.POLLOUT else self._readable)(self._rank_of[fd])
            if not events:
                self.group.look()
        if self._refusal is not None:
            raise self._refusal
        return ticket.result()  # type: ignore[no-any-return]

    def cancel(self, ticket: Any) -> None:
        """The result will not be asked for; what has not begun never will."""
        ticket.cancelled = True
        for rank, parts in enumerate(self._at):
            for number, part in parts.items():
                if part.ticket is ticket and rank not in self.gone:
                    with contextlib.suppress(Closed):
                        self.group.channels[rank].send({"cancel": number})

    def close(self) -> None:
        """End all processes."""
        self._close_wires()
        self.group.close()

    # -- how it goes -------------------------------------------------------------------------------------------

    def _give(self, ticket: _Ticket, index: int, task: Task, placed: Placement) -> None:
        rank = task.node
        if rank in self.gone:
            self._fail(ticket, index, rank)
            return
        number = self._numbers
        self._numbers += 1
        id = self._plans.id(ticket.plan if ticket.folded_there else replace(ticket.plan, aggregator=None))
        placed.retain()
        self._at[rank][number] = _Part(ticket, index, placed)
        control, wire = self.group.channels[rank], self._wires[rank]
        try:
            new = self._plans.new_to(rank, id)
            if new is not None:
                control.send({"plan": new, "id": id})
            own = {owner: held for owner, held in task.state.items() if not owner.endswith(RECEIVED)}
            if own:
                control.send({"states": number}, own)
            job = {"ticket": number, "node": task.node, "count": task.count, "plan": id, "stateful": bool(own)}
            wire.send(job, None, placed.sent)
            self._go_on_sending(rank)
        except Closed:
            self._broken(rank)

    def _go_on_sending(self, rank: int) -> None:
        """What the wire did not take at once leaves when it can."""
        wire = self._wires[rank]
        if wire.pending:
            self._clock.loop.add_writer(wire, self._writable, rank)

    def _writable(self, rank: int) -> None:
        try:
            if self._wires[rank].flush():
                self._clock.loop.remove_writer(self._wires[rank])
        except Closed:
            self._broken(rank)

    def _readable(self, rank: int) -> None:
        if rank in self.gone:
            return
        try:
            for message, tensors, _ in self._wires[rank].poll():
                self._answered(rank, message, tensors)
        except Closed:
            self._broken(rank)

    def _answered(self, rank: int, message: dict[str, Any], tensors: Any) -> None:
        states = self._states(rank, message["ticket"]) if message.get("stateful") else None
        part = self._at[rank].pop(message["ticket"])
        part.placed.release()
        if message.get("dropped") or part.ticket.cancelled:
            return
        result = unpack([message["outcome"]], {**tensors, "states": {} if states is None else {0: states}})
        self._count(rank, result.outcomes[0])
        plan = part.ticket.plan
        if plan.transforms:
            receive(plan, plan.chain(self._model), result.outcomes[0], part.ticket.tasks[part.index].state)
        self._arrived(part.ticket, part.index, result)

    def _states(self, rank: int, number: int) -> Any:
        """What the node remembers from now on: it was sent before its answer, on the other channel."""
        while True:
            message, tree, _ = self.group.channels[rank].receive()
            if message.get("states") == number:
                return tree

    def _count(self, rank: int, outcome: Outcome) -> None:
        """Bytes are counted at this end. While something was evaluated here, nobody is said to have waited."""
        meter, costs, before = self._wires[rank].meter, outcome.costs, self._counted[rank]
        assert costs is not None
        now = (
            meter.vector_sent,
            meter.vector_received,
            meter.messages_sent,
            meter.messages_received,
            meter.bytes_sent,
            meter.bytes_received,
            self._here_s,
        )
        down, up, sent, received, all_down, all_up, here = (a - b for a, b in zip(now, before, strict=True))
        self._counted[rank] = now
        costs.waiting_s = max(0.0, costs.waiting_s - here)
        costs.charge(
            bytes_down=int(down),
            bytes_up=int(up),
            messages_down=int(sent),
            messages_up=int(received),
            framing=int(all_down + all_up - down - up),
        )

    def _arrived(self, ticket: _Ticket, index: int, result: Result) -> None:
        ticket.parts[index] = result
        ticket.missing -= 1
        if not ticket.missing and ticket.watcher is not None:
            ticket.watcher()

    def _fail(self, ticket: _Ticket, index: int, rank: int) -> None:
        failed = Failed(rank, f"its process {self.gone[rank]}", lost=True)
        self._arrived(ticket, index, Result(None, [Outcome(rank, failed=failed)]))

    # -- losses ------------------------------------------------------------------------------------------------

    def _broken(self, rank: int) -> None:
        """Its wire has ended, which the end of its process does."""
        if rank not in self.gone:
            self._lost(rank, self.group.ended(rank))

    def _lost(self, rank: int, how: str) -> None:
        """A node is gone: what it had to do has failed."""
        if rank in self.gone:
            return
        self.gone[rank] = how
        with contextlib.suppress(Closed):  # its last words may be that it could not load something
            for message, _, _ in self.group.channels[rank].poll():
                if "cannot" in message:
                    self._refusal = refused(message)
        if self._refusal is None:
            log.warning("node %d is lost: its process %s", rank, how)
        self._forget(rank)
        parts, self._at[rank] = self._at[rank], {}
        for part in parts.values():
            part.placed.release()
            if not part.ticket.cancelled:
                self._fail(part.ticket, part.index, rank)

    def _forget(self, rank: int) -> None:
        wire = self._wires.get(rank)
        if wire is None:
            return
        self._rank_of.pop(wire.fileno(), None)
        with contextlib.suppress(KeyError, ValueError):
            self._poll.unregister(wire)
        self._clock.loop.remove_reader(wire)
        self._clock.loop.remove_writer(wire)
        wire.close()

    def _close_wires(self) -> None:
        self.group.unwatch()
        for rank in self._wires:
            if rank not in self.gone:
                self._forget(rank)
        self._wires, self._open = {}, False
