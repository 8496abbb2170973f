"""A node as a worker of a parameter server: it is given jobs, one after the other, and answers each.

Two channels lead to the server. What an algorithm sends, jobs with their arguments and answers, goes over the wire that
is measured; plans, cancellations and what nodes remember between jobs are the runtime's own, and go over the other.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from foedus.core.execute import Plan, Result, Site, Task
from foedus.core.ledger import Costs
from foedus.runtimes.channel import Channel
from foedus.runtimes.launch import load
from foedus.runtimes.processes.node.context import NodeContext
from foedus.runtimes.processes.node.pace import pace
from foedus.runtimes.processes.wire.kinds import Wire, to_server
from foedus.runtimes.processes.wire.meter import Meter
from foedus.runtimes.processes.wire.rendezvous import NotConnected
from foedus.runtimes.results import pack


def serve(member: NodeContext, asked: dict[str, Any], _: Any) -> None:
    """Answer jobs until the server says that it was the last."""
    meter = Meter()
    wire = None
    while wire is None:
        with contextlib.suppress(NotConnected):  # another is lost, and those that are left are called anew
            wire = to_server(member, asked["wire"], meter)
    _Worker(member, wire, meter).until_the_end()
    wire.close()


@dataclass
class _Worker:
    member: NodeContext
    wire: Wire
    meter: Meter
    jobs: deque[Any] = field(default_factory=deque)
    plans: dict[int, Plan] = field(default_factory=dict)
    states: dict[int, Any] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    over: bool = False

    def __post_init__(self) -> None:
        setup = self.member.setup
        self.site = Site(self.member.model, self.member.data, setup["seed"])
        self.pace = pace(self.member)
        self.control: Channel = self.member.channel
        self.poll = select.poll()
        for channel in (self.control, self.wire):
            self.poll.register(channel, select.POLLIN)
        self.counted: Meter | None = None

    def until_the_end(self) -> None:
        while not self.over:
            self._take_in()
            if self.jobs:
                self._answer(*self.jobs.popleft())

    def _take_in(self) -> None:
        """Take what has come; wait for something if there is no job."""
        started = time.perf_counter()
        there = [fd for fd, _ in self.poll.poll(0 if self.jobs else None)]
        self.meter.waiting_s += time.perf_counter() - started
        # Control comes first: what a job needs was sent before it, and a job may have been cancelled meanwhile.
        if self.control.fileno() in there:
            for frame in self.control.poll():
                self._control(*frame)
        if self.wire.fileno() in there:
            self.jobs.extend(self.wire.poll())
            if self.counted is None:  # before the first job nobody was kept waiting
                self.meter.waiting_s = 0.0
                self.counted = self.meter.copy()

    def _control(self, message: dict[str, Any], tree: Any, _: Any) -> None:
        if "plan" in message:
            self.plans[message["id"]] = load(self.control, "a job", message["plan"])
        elif "states" in message:
            self.states[message["states"]] = tree
        elif "cancel" in message:
            self.cancelled.add(message["cancel"])
        else:
            self.over = True

    def _answer(self, job: dict[str, Any], _: Any, args: Any) -> None:
        ticket, node, count = job["ticket"], job["node"], job["count"]
        while job["plan"] not in self.plans or (job["stateful"] and ticket not in self.states):
            self._control(*self.control.receive())
        state = self.states.pop(ticket, {})
        if ticket in self.cancelled:
            self.cancelled.remove(ticket)
            self.wire.send({"ticket": ticket, "dropped": True})
            return
        plan = self.plans[job["plan"]]
        self.member.doing(node)
        task = Task(node, count, state)
        if plan.transforms:  # what travels is what they make of an answer
            result = Result(None, [self.site.answer(plan, plan.chain(self.member.model), args, task)])
        else:
            result = self.site.run(plan, args, [[task]])
        [outcome] = result.outcomes
        rest = self.pace.rest(node, count, plan.job.work(self.member.data.size(node)), outcome.seconds)
        if rest > 0:
            time.sleep(rest)
            outcome.seconds += rest
        self.member.doing()
        self.meter.compute_s += outcome.seconds
        outcome.costs = self._costs()
        plain, tensors = pack(result)
        states = tensors.pop("states")
        if states:
            self.control.send({"states": ticket}, states[0])
        self.wire.send({"ticket": ticket, "outcome": plain[0], "stateful": bool(states)}, tensors, wait=True)

    def _costs(self) -> Costs:
        """What came on this node's account since its last answer; the server counts the bytes itself."""
        assert self.counted is not None
        new, self.counted = self.meter.minus(self.counted), self.meter.copy()
        return Costs(compute_s=new.compute_s, wire_s=new.wire_s, waiting_s=new.waiting_s, serial_s=new.serial_s)
