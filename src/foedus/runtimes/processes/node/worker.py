"""A node as a worker of a parameter server: it is given jobs, one after the other, and answers each.

Two channels lead to the server. What an algorithm sends, jobs with their arguments and answers, goes over the wire that
is measured; plans and cancellations are the runtime's own, and go over the other. What the node remembers between jobs
stays here, under the number of the job that made it, until a job says that nobody asks for it any more; it goes to the
server only when that fetches it, for a checkpoint.
"""

from __future__ import annotations

import select
import time
from collections import deque
from typing import Any

from foedus.core.coordination.executor import Plan, Result, Task
from foedus.core.records.ledger import Costs
from foedus.core.types.trees import owned
from foedus.core.types.update import Tensors
from foedus.runtimes.channel import Channel
from foedus.runtimes.launch import load
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.node.context import NodeContext
from foedus.runtimes.processes.node.pace import pace
from foedus.runtimes.processes.wire import messages
from foedus.runtimes.processes.wire.kinds import wrap
from foedus.runtimes.results import pack
from foedus.runtimes.segments import SegmentPool


def work(context: NodeContext, role: messages.Work, _: Any) -> None:
    """Answer jobs until the parent says that it was the last."""
    socks, _ = context.gather()
    [sock] = socks.values()
    wire = wrap(sock, role.wire, SegmentPool(), Meter())
    try:
        _Worker(context, wire).answer_all()
    finally:
        wire.close()


class _Worker:
    def __init__(self, context: NodeContext, wire: Channel) -> None:
        self.context, self.wire = context, wire
        self.meter: Meter = wire.meter
        self.jobs: deque[Any] = deque()
        self.plans: dict[int, Plan] = {}
        self.kept: dict[tuple[int, str], Tensors] = {}
        """What the node remembers, by number and owner."""
        self.cancelled: set[int] = set()
        self.site = context.site
        self.pace = pace(context)
        self.poll = select.poll()
        for channel in (context.channel, wire):
            self.poll.register(channel, select.POLLIN)
        self.counted: Meter | None = None

    def answer_all(self) -> None:
        """Answer jobs, one after the other. Errors: ``Ended``."""
        while True:
            self._take_in()
            if self.jobs:
                self._answer(*self.jobs.popleft())

    def _take_in(self) -> None:
        """Take what has come; wait for something if there is no job."""
        started = time.perf_counter()
        there = [fd for fd, _ in self.poll.poll(0 if self.jobs else None)]
        self.meter.waiting_s += time.perf_counter() - started
        # Control comes first: what a job needs was sent before it, and a job may have been cancelled meanwhile.
        while self.context.channel.fileno() in there:
            self._hear()
            there = [fd for fd, _ in self.poll.poll(0)]
        if self.wire.fileno() in there:
            self.jobs.extend(self.wire.poll())
            if self.counted is None:  # before the first job nobody was kept waiting
                self.meter.waiting_s = 0.0
                self.counted = self.meter.copy()

    def _hear(self) -> None:
        message, tree = self.context.hear()
        match message:
            case messages.NewPlan():
                self.plans[message.id] = load(self.context.channel, "a job", message.pickled)
            case messages.NodeState():
                self._keep(message.number, tree)
            case messages.Fetch():
                self.context.tell(messages.Fetched(message.request), [self.kept[key] for key in message.states])
            case messages.Cancel():
                self.cancelled.add(message.ticket)

    def _answer(self, job: dict[str, Any], own: Any, args: Any) -> None:
        ticket, node, count = job["ticket"], job["node"], job["count"]
        for number, owner in job["forget"]:
            del self.kept[number, owner]
        begins = {owner: (number, owner) for owner, number in job["state"].items()}
        while job["plan"] not in self.plans or not self.kept.keys() >= set(begins.values()):
            self._hear()
        if ticket in self.cancelled:
            self.cancelled.remove(ticket)
            self.wire.send({"ticket": ticket, "dropped": True})
            return
        plan = self.plans[job["plan"]]
        task = Task(node, count, {owner: self.kept[key] for owner, key in begins.items()}, own or {})
        if plan.transforms:  # what travels is what they make of an answer
            result = Result(None, [self.site.answer(plan, plan.chain(self.context.model), args, task)])
        else:
            result = self.site.run(plan, args, [[task]])
        [outcome] = result.outcomes
        rest = self.pace.rest(node, count, plan.job.work(self.site.data.size(node)), outcome.seconds)
        if rest > 0:
            time.sleep(rest)
            outcome.seconds += rest
        self.meter.compute_s += outcome.seconds
        outcome.costs = self._costs()
        made, outcome.state = outcome.state, {}
        self._keep(ticket, made)
        [plain], tensors = pack(result)
        self.wire.send({"ticket": ticket, "outcome": plain, "made": list(made)}, tensors, wait=True)

    def _keep(self, number: int, states: dict[str, Any]) -> None:
        # They stay for long: they shall not hold the memory of a message, or of a job's arguments.
        self.kept.update(((number, owner), held) for owner, held in owned(states).items())

    def _costs(self) -> Costs:
        """What came on this node's account since its last answer; the server counts the bytes itself."""
        assert self.counted is not None
        new, self.counted = self.meter.minus(self.counted), self.meter.copy()
        return Costs(compute_s=new.compute_s, wire_s=new.wire_s, waiting_s=new.waiting_s, serial_s=new.serial_s)
