"""Aside: jobs that nodes are given beside the program, over the channels to the parent, which nothing is charged for.

Where rows are only at their nodes, these tell so of their data before a program begins, and evaluate while they run it
themselves. A node answers when it next listens (``NodeContext.beside``).
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Sequence
from dataclasses import replace

from foedus.core.coordination.executor import Outcome, Plan, Result, Task
from foedus.core.types.roster import Roster
from foedus.core.types.trees import owned
from foedus.core.types.update import Lost, Tensors
from foedus.runtimes.channel import Closed
from foedus.runtimes.launch import pickled, pickled_rows, refused
from foedus.runtimes.processes.parent.process_group import ProcessGroup
from foedus.runtimes.processes.wire import messages
from foedus.runtimes.results import unpack


class Aside:
    """The parent's side."""

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._lost: dict[int, str] = {}

    def run(self, plan: Plan, args: Tensors, tasks: Sequence[Task]) -> dict[int, Result]:
        """Every task's result by its place, not folded; that of a node that is lost says so.

        Errors: ``BadInput`` for a job that cannot be sent, or that a node cannot load.
        """
        plan = replace(plan, aggregator=None)
        data = pickled(plan, lambda e: f"{plan.job!r} cannot be sent to node processes: {e}")
        results: dict[int, Result] = {}
        waiting: dict[int, tuple[int, int]] = {}
        poll = select.poll()
        for place, task in enumerate(tasks):
            channel = self._group.channels[task.node]
            try:
                if task.node not in self._group.alive:
                    raise Closed
                own = {"args": {**args, **task.own}, "state": dict(task.state)}
                channel.send(messages.Aside(pickled=data, count=task.count), own)
            except Closed:
                results[place] = self._gone(task.node)
                continue
            waiting[channel.fileno()] = task.node, place
            poll.register(channel, select.POLLIN)
        while waiting:
            events = poll.poll(1000 * self._group.interval)
            for fd, _ in events:
                node, place = waiting[fd]
                result = self._take(node)
                if result is not None:
                    results[place] = result
                    del waiting[fd]
                    poll.unregister(fd)
            if not events:
                self._group.look()
        return results

    def _take(self, node: int) -> Result | None:
        """A node's result, if that is what it says."""
        try:
            plain, tree, _ = self._group.channels[node].receive()
        except Closed:
            return self._gone(node)
        if "cannot" in plain:
            raise refused(plain)
        message = messages.read(plain)
        if isinstance(message, messages.AsideAnswer):
            return unpack([message.outcome], owned(tree))
        self._group.stray(node, plain, tree)
        return None

    def _gone(self, node: int) -> Result:
        if node not in self._lost:
            self._lost[node] = self._group.ended(node)
        lost = Lost(node, f"its process {self._lost[node]}", for_good=True)
        return Result(None, [Outcome(node, missing=lost)])


def tell_roster(group: ProcessGroup, roster: Roster) -> None:
    """What the parent knows of all nodes, for those that run the program themselves."""
    for node in sorted(group.alive):
        with contextlib.suppress(Closed):  # it is missed as soon as the program needs it
            group.channels[node].send(messages.Met(pickled=pickled_rows(roster)))
