"""A node as one of many that run the program together.

All make the same calls with the same draws, so that every one of them has the same model at every commit. The lowest
node that is left tells the parent of commits; the others only what they have measured, and what they alone remember.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from foedus.core.coordination.drivers import Joint
from foedus.core.coordination.program import coordinate
from foedus.core.coordination.session import Options, Session
from foedus.core.records.checkpoint import Checkpoint
from foedus.core.time.clock import RealClock
from foedus.core.types.state import State
from foedus.runtimes.launch import load
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.collective import collective
from foedus.runtimes.processes.collectives.pipes import Broken
from foedus.runtimes.processes.node.context import Ended, NodeContext
from foedus.runtimes.processes.node.joint_executor import Joined
from foedus.runtimes.processes.node.pace import pace
from foedus.runtimes.processes.wire import messages

FOR_EVER = 1e6
"""Seconds a node waits for another that lives: how long a job takes is nobody's business here, and the parent sees to
those that hang."""


def join(context: NodeContext, role: messages.Join, saved: Any) -> None:
    """Run the program with the others, until the parent says that it is over."""
    life = _Life(context, role)
    recorded: int | None = None
    while True:
        life.attempt(saved, recorded)
        while True:
            message, saved = context.hear()
            if isinstance(message, messages.Give):
                life.give()
            elif isinstance(message, messages.Again):
                recorded = message.recorded
                break


class _Life:
    """A node's part in the run: what lasts when those that are left begin anew from a commit, after one is lost."""

    def __init__(self, context: NodeContext, role: messages.Join) -> None:
        self.context, self.role, self.rhythm = context, role, role.rhythm
        self.program = load(context.channel, "the program", role.program)
        self.meter = Meter()
        self.executor = Joined(
            context.node,
            context.site,
            role.exchange,
            self.meter,
            pace(context).rest,
        )
        self.notes: list[dict[str, Any]] = []
        """Of commits that the parent may not know of: whoever tells it may be lost with them."""
        self.measured: list[tuple[int, Meter]] = []
        """At those commits, the meter without this node's jobs, which are in the ledger."""
        self.told = 0
        """The last commit that this node has told of."""
        self.own: dict[str, Any] = {}
        """What this node remembers, at its last commit."""
        self.paused_s = 0.0
        self.session: _Session | None = None

    def attempt(self, saved: Any, recorded: int | None) -> None:
        """Run the program from a commit on, to its end or until it cannot go on.

        ``recorded`` is the parent's last commit, if the nodes begin anew.
        """
        socks, go = self.context.gather()
        members, executor, clock = go.nodes, self.executor, RealClock()
        executor.members, executor.gone = members, go.gone
        behind = None if self.session is None else self.session.round
        session = self.session = _Session(self, members[0] == self.context.node, clock)
        if saved is not None:
            session.go_on_from(saved, behind)
            executor.last_state = {}
            self.notes = [n for n in saved.get("notes", ()) if recorded is not None and n["round"] > recorded]
        clock.restart(time.monotonic() - go.origin)
        if recorded is None:
            self.meter.waiting_s = self.meter.wire_s = self.meter.serial_s = 0.0
        # The others notice when this one's connections are closed: after the parent was told why.
        with contextlib.ExitStack() as connections:
            try:
                # Ids of nodes stay what they were; those that are left have ranks among themselves.
                executor.collective = collective(
                    self.role.exchange,
                    members.index(self.context.node),
                    len(members),
                    {members.index(node): sock for node, sock in socks.items()},
                    self.role.wire,
                    self.meter,
                    spin=self.role.spin,
                    timeout=FOR_EVER,
                    store=go.store,
                )
                connections.callback(executor.collective.close)
                if go.store:  # all have met: if the parent is killed, nobody else removes it
                    with contextlib.suppress(OSError):
                        os.rmdir(os.path.dirname(go.store))
                if recorded is not None:
                    session.report()
                clock.run(coordinate(self.program, session))
                self.context.tell(messages.Done(session.round))
            except BaseException as e:
                error = messages.innermost(e)
                if isinstance(error, Ended):
                    raise error from None
                session.roll_back()
                if isinstance(error, Broken):
                    self.context.tell(messages.Broke(session.round, f"node {members[error.peer]} {error.why}"))
                else:
                    self.context.tell(messages.raised(e, self.account()), {"books": session.books()})

    def give(self) -> None:
        """All that the others, and the parent, need to go on from this node's last commit."""
        assert self.session is not None
        self.session.roll_back()
        again = {**self.session.checkpoint().tree, "notes": self.notes}
        self.context.tell(messages.Given(self.account()), {"again": again, "books": self.session.books()})

    def account(self, tells: bool = True) -> messages.Account:
        """What the parent is told."""
        assert self.session is not None
        return messages.Account(
            self.notes if tells else [], self.measured, self.session.planned, self.executor.remembers
        )


class _Session(Session):
    """The books of a node. Its commits are the run's; the parent evaluates and writes."""

    def __init__(self, life: _Life, tells: bool, clock: RealClock) -> None:
        self._life, self._tells = life, tells
        super().__init__(
            model=life.context.model,
            roster=life.context.roster,
            executor=life.executor,
            clock=clock,
            network=None,
            driver=Joint,
            seed=life.context.setup["seed"],
            policy=life.context.site.policy,
            options=Options(program=type(life.program).__qualname__, per_node=life.role.per_node),
            communicates=getattr(life.program, "communicates", True),
        )
        self._at_nodes: Any = None

    def go_on_from(self, saved: Any, behind: int | None) -> None:
        """Take over a commit, of this run or of one that was stopped; of what nodes remember only what is its own."""
        life = self._life
        self.restore(Checkpoint(saved, [], self.identity))
        if behind is not None:
            # A commit that another has made and this node just missed takes its last answer, which was in it.
            last = life.executor.last_state if behind < self.round else {}
            self.node_states = {life.context.node: {**life.own, **last}}

    def commit(
        self,
        state: State,
        metrics: dict[str, float] | None = None,
        extra: dict[str, float] | None = None,
        now: float | None = None,
        at_nodes: Any = None,
        each: Sequence[Mapping[str, float]] | None = None,
    ) -> None:
        """Make a commit, and tell the parent of it when that is due."""
        self.check_finite(state)
        self.note_each(each)
        life = self._life
        self.round, self.state = self.round + 1, state
        life.notes.append(
            {
                "round": self.round,
                "metrics": metrics,
                "extra": extra,
                "used": self.used,
                "losses": self._losses,
                "suspects": [[n, *x] for n, said in self._suspicions.items() for x in said],
                "ledger": self.ledger.as_tree(),
                "elapsed": self.clock.now - life.paused_s,
            }
        )
        self._at_nodes = at_nodes
        m = life.meter.copy()
        m.compute_s -= life.executor.jobs_s
        life.measured.append((self.round, m))
        life.own = dict(self.node_state(life.context.node))
        if self.round != self.planned:
            self.roster = self.roster.at(self.round)
        self.keep()
        if life.rhythm.told(self.round, self.planned):
            self.report()

    def report(self) -> None:
        """Tell the parent of the last commit, and wait for its word if that is due."""
        life, t = self._life, self.round
        waits = life.rhythm.waits(t, self.planned)
        # The parent evaluates what the program gives all nodes at the nodes, with what they remember.
        kept = life.rhythm.keeps(t, self.planned) or isinstance(self._at_nodes, Mapping)
        tree: Any = {"own": self.node_state(life.context.node) if kept else {}}
        if self._tells:
            tree["books"] = self.books()
        life.context.tell(messages.Committed(t, life.account(self._tells), waits, kept), tree)
        life.notes = [n for n in life.notes if n["round"] > life.told]
        life.measured = [m for m in life.measured if m[0] > life.told]
        life.told = t
        if waits:
            started = time.perf_counter()
            word, _ = life.context.hear()
            life.paused_s += time.perf_counter() - started
            self.stopped = isinstance(word, messages.Word) and word.stop

    def books(self) -> dict[str, Any]:
        """The last commit as the parent takes it over."""
        return {**super().books(), "at_nodes": self._at_nodes}
