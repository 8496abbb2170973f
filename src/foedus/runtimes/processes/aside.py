"""Aside: jobs that nodes are given beside the program, over the channels to the parent, which nothing is charged for.

Where rows are only at their nodes, these tell so of their data before a program begins, and evaluate while they run it
themselves. A node answers when it next listens (``Member.beside``).
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Sequence
from dataclasses import replace

from foedus.core.execute import Outcome, Plan, Result, Task
from foedus.core.roster import Roster
from foedus.core.trees import owned
from foedus.core.update import Failed, Tensors
from foedus.runtimes.channel import Closed
from foedus.runtimes.launch import pickled, pickled_rows, refused
from foedus.runtimes.processes.crew import Crew
from foedus.runtimes.results import unpack


class Aside:
    """The parent's side."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._lost: dict[int, str] = {}

    def run(self, plan: Plan, args: Tensors, tasks: Sequence[Task]) -> dict[int, Result]:
        """Every task's result by its place, not folded; that of a node that is lost is a failure.

        Errors: ``BadInput`` for a job that cannot be sent, or that a node cannot load.
        """
        plan = replace(plan, aggregator=None)
        data = pickled(plan, lambda e: f"{plan.job!r} cannot be sent to node processes: {e}")
        results: dict[int, Result] = {}
        waiting: dict[int, tuple[int, int]] = {}
        poll = select.poll()
        for place, task in enumerate(tasks):
            rank = task.node
            channel = self._crew.channels[rank]
            message = {"aside": place, "plan": data, "node": rank, "count": task.count}
            try:
                if rank not in self._crew.alive:
                    raise Closed
                channel.send(message, {"args": dict(args), "state": task.state})
            except Closed:
                results[place] = self._failure(rank)
                continue
            waiting[channel.fileno()] = rank, place
            poll.register(channel, select.POLLIN)
        while waiting:
            events = poll.poll(1000 * self._crew.interval)
            for fd, _ in events:
                rank, place = waiting[fd]
                result = self._take(rank)
                if result is not None:
                    results[place] = result
                    del waiting[fd]
                    poll.unregister(fd)
            if not events:
                self._crew.look()
        return results

    def _take(self, rank: int) -> Result | None:
        """A node's result, if that is what it says."""
        try:
            message, tree, _ = self._crew.channels[rank].receive()
        except Closed:
            return self._failure(rank)
        if "cannot" in message:
            raise refused(message)
        if "aside" not in message:
            self._crew.stray(rank, message, tree)
            return None
        return unpack([message["outcome"]], owned(tree))

    def _failure(self, rank: int) -> Result:
        if rank not in self._lost:
            self._lost[rank] = self._crew.ended(rank)
        return Result(None, [Outcome(rank, failed=Failed(rank, f"its process {self._lost[rank]}", lost=True))])


def tell_roster(crew: Crew, roster: Roster) -> None:
    """What the parent knows of all nodes, for those that run the program themselves."""
    told = {"roster": pickled_rows(roster)}
    for rank in sorted(crew.alive):
        with contextlib.suppress(Closed):  # it is missed as soon as the program needs it
            crew.channels[rank].send(told)
