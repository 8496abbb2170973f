"""The executor of a parameter server: jobs go to the nodes' processes, and are waited for as they come.

What concerns no node (the test set, all rows pooled) is computed here. A node that is lost answers with a failure.

What a node remembers stays in its process: tasks and outcomes have a ``Kept`` in its place, and only a checkpoint
fetches the tensors. Those of a checkpoint that a run goes on from are sent once, with the node's first job.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from foedus.core.coordination.executor import Blocks, Executor, Outcome, Plan, Result, Task
from foedus.core.coordination.site import RECEIVED, Setup, Site, receive
from foedus.core.interrupts import unbroken
from foedus.core.records.ledger import Costs
from foedus.core.time.clock import RealClock
from foedus.core.types.aggregator import Fold
from foedus.core.types.roster import Prepare
from foedus.core.types.trees import owned
from foedus.core.types.update import Lost as LostNode
from foedus.core.types.update import Tensors
from foedus.runtimes.channel import Channel, Closed, Counted
from foedus.runtimes.launch import limit, pickled_rows
from foedus.runtimes.meter import Meter
from foedus.runtimes.plans import Plans
from foedus.runtimes.processes.parent.aside import Aside
from foedus.runtimes.processes.parent.conversation import Conversation, Heard, Lost
from foedus.runtimes.processes.parent.kept import Kept
from foedus.runtimes.processes.parent.process_group import ProcessGroup
from foedus.runtimes.processes.wire import messages
from foedus.runtimes.processes.wire.kinds import place, wrap
from foedus.runtimes.processes.wire.pair import connected_pair
from foedus.runtimes.results import unpack
from foedus.runtimes.simulation.inline import Inline

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
        aggregator = self.plan.folds
        if aggregator is None:
            return Result(None, outcomes)
        if self.folded_there:
            return Result(self.parts[0].acc, outcomes)
        folded, at = Fold(aggregator), 0
        for block in self.blocks:
            folded.block(o.update for o in outcomes[at : at + len(block)] if o.update is not None)
            at += len(block)
        for outcome in outcomes:
            outcome.update = None
        return Result(folded.result(), outcomes)


def _at_home(state: dict[str, Any], found: Mapping[int, Mapping[tuple[int, str], Any]]) -> dict[str, Any] | None:
    """A node's state with its tensors; None if what it kept was not found, for it is lost with the node."""
    home = {}
    for owner, held in state.items():
        if isinstance(held, Kept):
            if held.node not in found:
                return None
            held = found[held.node][held.number, owner]
        home[owner] = held
    return home


class _Part:
    """A task at its node."""

    __slots__ = ("index", "placed", "ticket")

    def __init__(self, ticket: _Ticket, index: int, placed: Counted) -> None:
        self.ticket, self.index, self.placed = ticket, index, placed


class Server(Executor):
    """The executor of a run with a server: a task runs in its node's process, and answers when that does."""

    apart = True
    ahead = AHEAD

    def __init__(
        self,
        group: ProcessGroup,
        clock: RealClock,
        setup: Setup,
        goes_on: bool,
        wire: str,
    ) -> None:
        self.group, self.workers, self._goes_on, self._kind = group, group.nodes, goes_on, wire
        self.gone: dict[int, str] = {}
        self._clock = clock
        self._model, self._inline = setup.model, Inline(Site(setup, rows=setup.data.here()))
        # Where rows are at their nodes, these answer also where they do not work for this server.
        self._aside = Aside(group) if setup.data.roster is None else None
        self._plans = Plans(group.nodes)
        self._talk: Conversation | None = None
        self._wires: dict[int, Channel] = {}
        self._node_at: dict[int, int] = {}
        """By descriptor of its wire."""
        self._poll = select.poll()
        self._parts: list[dict[int, _Part]] = [{} for _ in range(group.nodes)]
        """By node, what it has to do, by number."""
        self._numbers = 0
        self._given: list[dict[str, tuple[Any, Kept]]] = [{} for _ in range(group.nodes)]
        """By node and owner, the tensors that the node was sent, and where it keeps them."""
        self._released: list[list[tuple[int, str]]] = [[] for _ in range(group.nodes)]
        """By node, what it may forget; it is told with its next job."""
        self._fetched: dict[int, Any] = {}
        """By node, its answer to the last request."""
        self._requests = 0
        self._here_s = 0.0
        self._counted: dict[int, tuple[Meter, float]] = {}
        """By node, at its last answer: its wire's meter, and what was computed here."""

    def open(self) -> None:
        """Have the nodes work. Their answers are noticed by the clock's loop from now on."""
        loop = self._clock.loop
        talk = self._talk = Conversation(self.group, loop, self._heard)
        self.gone = talk.gone
        talk.open()
        for node in talk.left:
            talk.say(node, messages.Work(self._kind))
            ours, theirs = connected_pair(self._kind)
            with theirs:
                talk.say(node, messages.Connection(self.workers), sock=theirs)
            if node in self.gone:
                ours.close()
                continue
            if self._kind == "shared":
                # Read in one go: a node that stops in the middle of a message must not stop this process as well.
                limit(ours, self.group.patience)
            wire = self._wires[node] = wrap(ours, self._kind, self.group.segments, Meter())
            self._node_at[wire.fileno()] = node
            self._poll.register(wire, select.POLLIN)
            loop.add_reader(wire, self._readable, node)
        talk.go(time.monotonic())

    @property
    def goes_on(self) -> bool:
        """Whether the run goes on without a node that is lost: not without the last."""
        return self._goes_on and len(self.gone) < self.workers

    # -- the executor ------------------------------------------------------------------------------------------

    def place(self, args: Tensors) -> Counted:
        """Write arguments once for all nodes."""
        return place(self._kind, self.group.segments, args)

    def release(self, placed: Counted) -> None:
        """The caller is done with them."""
        placed.release()

    def submit(self, plan: Plan, placed: Counted, blocks: Blocks) -> _Ticket:
        """Send every task to its node at once."""
        ticket = _Ticket(plan, blocks)
        if self._talk is None and self._aside is not None and all(task.node >= 0 for task in ticket.tasks):
            ticket.parts = self._aside.run(plan, placed.tree(), ticket.tasks)
            ticket.missing, ticket.folded_there = 0, False
            return ticket
        if self._talk is None or any(task.node < 0 for task in ticket.tasks):
            ticket.inline = self._inline.submit(plan, placed.tree(), blocks)
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
            self._take_in()
        if self._talk is not None and self._talk.refusal is not None:
            raise self._talk.refusal
        return ticket.result()  # type: ignore[no-any-return]

    def _take_in(self, asked: Mapping[int, int] = MappingProxyType({})) -> None:
        """Take what nodes have sent over their wires; wait for something if there is nothing.

        ``asked``: nodes from which something comes over the other channel, by its descriptor.
        """
        # A node that is lost is told of by the loop, which does not run now: its wire's end says it as well.
        events = self._poll.poll(1000 * self.group.interval)
        for fd, kind in events:
            if fd in self._node_at:
                (self._writable if kind & select.POLLOUT else self._readable)(self._node_at[fd])
            elif fd in asked and self._talk is not None:
                self._talk.listen(asked[fd])
        if not events:
            self.group.look()

    def fetch(self, states: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
        """Ask all nodes that are left at once; one that computes answers when it is done."""
        started, talk = time.perf_counter(), self._talk
        keys: dict[int, list[tuple[int, str]]] = {}
        for kept in {held for state in states for held in state.values() if isinstance(held, Kept)}:
            keys.setdefault(kept.node, []).append((kept.number, kept.owner))
        if keys:
            assert talk is not None
            self._requests, self._fetched = self._requests + 1, {}
            for node in keys:
                talk.say(node, messages.Fetch(self._requests, keys[node]))
            # Their answers come over the other channel. Meanwhile the wires are read as well: a node whose answer to a
            # job is too long for its wire hears of nothing else.
            for node in keys:
                if node not in self.gone:
                    fd = self.group.channels[node].fileno()
                    self._poll.register(fd, select.POLLIN)
                    try:
                        while node not in self._fetched and node not in self.gone:
                            self._take_in({fd: node})
                    finally:
                        self._poll.unregister(fd)
        found = {n: dict(zip(keys[n], self._fetched[n], strict=True)) for n in keys if n in self._fetched}
        self._fetched = {}
        self._here_s += time.perf_counter() - started
        return [_at_home(state, found) for state in states]

    def cancel(self, ticket: Any) -> None:
        """The result will not be asked for; what has not begun never will."""
        ticket.cancelled, ticket.watcher = True, None
        ticket.parts.clear()  # what nodes remember after them is let go of
        for node, parts in enumerate(self._parts):
            for number, part in list(parts.items()):
                if part.ticket is ticket and self._talk is not None:
                    self._talk.say(node, messages.Cancel(number))

    def prepare(self, how: Prepare) -> None:
        """Tell every node, and whatever part of the data is here."""
        self._inline.prepare(how)
        told = messages.Prepare(pickled=pickled_rows(how))
        for node in sorted(self.group.alive):
            with contextlib.suppress(Closed):  # it is missed at its next job
                self.group.channels[node].send(told)

    def close(self) -> None:
        """End all processes."""
        if self._talk is not None:
            self._talk.close()
        for node in list(self._wires):
            self._forget(node)
        self._talk = None
        self.group.close()

    # -- jobs and answers --------------------------------------------------------------------------------------

    @unbroken()
    def _give(self, ticket: _Ticket, index: int, task: Task, placed: Counted) -> None:
        node, talk = task.node, self._talk
        assert talk is not None
        if node in self.gone:
            self._fail(ticket, index, node)
            return
        number = self._numbers
        self._numbers += 1
        id = self._plans.id(ticket.plan if ticket.folded_there else replace(ticket.plan, aggregator=None))
        placed.retain()
        self._parts[node][number] = _Part(ticket, index, placed)
        new = self._plans.new_to(node, id)
        if new is not None:
            talk.say(node, messages.NewPlan(id, new))
        state = self._begins_with(node, task.state)
        if node in self.gone:
            return
        wire = self._wires[node]
        released = self._released[node]
        forget = [released.pop() for _ in range(len(released))]
        try:
            job = {"ticket": number, "node": node, "count": task.count, "plan": id, "state": state, "forget": forget}
            wire.send(job, dict(task.own) or None, placed)
            if wire.pending:  # what it did not take at once leaves when it can
                self._clock.loop.add_writer(wire, self._writable, node)
                self._poll.modify(wire, select.POLLIN | select.POLLOUT)
        except Closed:
            self._broken(node)

    def _begins_with(self, node: int, state: Mapping[str, Any]) -> dict[str, int]:
        """By owner, under which number the node keeps what it remembers. Tensors, of a checkpoint, are sent once."""
        given, new, numbers = self._given[node], dict[str, Any](), dict[str, int]()
        for owner, held in state.items():
            if owner.endswith(RECEIVED):
                continue
            if isinstance(held, Kept):
                given.pop(owner, None)
                numbers[owner] = held.number
            elif owner in given and given[owner][0] is held:
                numbers[owner] = given[owner][1].number
            else:
                new[owner] = held
        if new:
            number = self._numbers
            self._numbers += 1
            for owner, held in new.items():
                given[owner] = held, Kept(node, number, owner, self._released[node])
                numbers[owner] = number
            assert self._talk is not None
            self._talk.say(node, messages.NodeState(number), new)
        return numbers

    @unbroken()
    def _writable(self, node: int) -> None:
        try:
            if self._wires[node].flush():
                self._clock.loop.remove_writer(self._wires[node])
                self._poll.modify(self._wires[node], select.POLLIN)
        except Closed:
            self._broken(node)

    @unbroken()
    def _readable(self, node: int) -> None:
        if node in self.gone:
            return
        try:
            for message, tensors, _ in self._wires[node].poll():
                self._answered(node, message, tensors)
        except Closed:
            self._broken(node)

    def _answered(self, node: int, message: dict[str, Any], tensors: Any) -> None:
        number = message["ticket"]
        # Of an answer that nobody wants these are let go at once, and the node forgets what the job made.
        made = {owner: Kept(node, number, owner, self._released[node]) for owner in message.get("made", ())}
        part = self._parts[node].pop(number, None)
        if part is None:  # its loss has just been told of
            return
        part.placed.release()
        if message.get("dropped") or part.ticket.cancelled:
            return
        result = unpack([message["outcome"]], tensors)
        [outcome] = result.outcomes
        outcome.state = dict(made)
        self._count(node, outcome)
        plan = part.ticket.plan
        receive(plan, plan.chain(self._model), outcome, part.ticket.tasks[part.index].state, self.size)
        self._arrived(part.ticket, part.index, result)

    def _count(self, node: int, outcome: Outcome) -> None:
        """Bytes are counted at this end. While something was evaluated here, nobody is said to have waited."""
        costs, now = outcome.costs, self._wires[node].meter.copy()
        assert costs is not None
        before, here_s = self._counted.get(node, (Meter(), 0.0))
        self._counted[node] = now, self._here_s
        new = now.minus(before).costs()
        costs.waiting_s = max(0.0, costs.waiting_s - (self._here_s - here_s))
        costs.add(
            Costs(
                bytes_down=new.bytes_up,
                bytes_up=new.bytes_down,
                messages_down=new.messages_up,
                messages_up=new.messages_down,
                framing=new.framing,
            )
        )

    def _arrived(self, ticket: _Ticket, index: int, result: Result) -> None:
        ticket.parts[index] = result
        ticket.missing -= 1
        if not ticket.missing and ticket.watcher is not None:
            # Whoever watches has the ticket: let go of it, so that what nodes remember lives no longer than is wanted.
            watcher, ticket.watcher = ticket.watcher, None
            watcher()

    def _fail(self, ticket: _Ticket, index: int, node: int) -> None:
        lost = LostNode(node, f"its process {self.gone[node]}", for_good=True)
        self._arrived(ticket, index, Result(None, [Outcome(node, missing=lost)]))

    # -- what is heard on the other channel, and losses --------------------------------------------------------

    def _heard(self, heard: Heard) -> None:
        node, message, tree = heard
        match message:
            case messages.Fetched():
                if message.request == self._requests:
                    self._fetched[node] = owned(tree)
            case Lost():  # what it had to do has failed
                self._forget(node)
                parts, self._parts[node] = self._parts[node], {}
                for part in parts.values():
                    part.placed.release()
                    if not part.ticket.cancelled:
                        self._fail(part.ticket, part.index, node)

    def _broken(self, node: int) -> None:
        """Its wire has ended, which the end of its process does."""
        if self._talk is not None and node not in self.gone:
            self._talk.lost(node, self.group.ended(node))

    def _forget(self, node: int) -> None:
        wire = self._wires.pop(node, None)
        if wire is None:
            return
        del self._node_at[wire.fileno()]
        self._poll.unregister(wire)
        self._clock.loop.remove_reader(wire)
        self._clock.loop.remove_writer(wire)
        wire.close()
