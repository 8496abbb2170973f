"""A node's process as one of many that run the program together.

All make the same calls with the same draws, so that every one of them has the same model at every commit. The lowest
rank that is left tells the parent of commits; the others only what they have measured, and what they alone remember.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from foedus.core.checkpoint import Checkpoint
from foedus.core.clock import RealClock
from foedus.core.execute import Site
from foedus.core.federation import Federation
from foedus.core.session import Options, Session
from foedus.core.state import State
from foedus.runtimes.launch import load
from foedus.runtimes.processes.collectives.collective import collective
from foedus.runtimes.processes.collectives.pipes import Broken
from foedus.runtimes.processes.node.context import NodeContext
from foedus.runtimes.processes.node.joint_executor import Joined
from foedus.runtimes.processes.node.pace import pace
from foedus.runtimes.processes.wire.messages import told
from foedus.runtimes.processes.wire.meter import Meter
from foedus.runtimes.processes.wire.rendezvous import NotConnected, connect

FOR_EVER = 1e6
"""Seconds a rank waits for another that lives: how long a job takes is nobody's business here, and the parent sees to
those that hang."""


def rank(member: NodeContext, asked: dict[str, Any], saved: Any) -> None:
    """Run the program with the others, until the parent says that it is over."""
    life = _Life(member, asked)
    message, tree = asked, saved
    while True:
        life.attempt(message, tree)
        while True:
            message, tree, _ = member.channel.receive()
            if "give" not in message:
                break
            life.give()


@dataclass
class _Rhythm:
    """At which commits the parent is told all, and at which it has to say that the run goes on."""

    evaluate_every: int
    evaluate_nodes: int
    checkpoint_every: int
    """0 where nothing is written."""
    rules: bool
    """Whether there are stop rules, which may end the run at any commit."""

    def evaluated(self, t: int) -> bool:
        return t % self.evaluate_every == 0 or bool(self.evaluate_nodes and t % self.evaluate_nodes == 0)

    def told(self, t: int, planned: int | None) -> bool:
        written = bool(self.checkpoint_every and t % self.checkpoint_every == 0)
        return self.rules or written or t == planned or self.evaluated(t)

    def waits(self, t: int, planned: int | None) -> bool:
        # While the parent evaluates, nobody computes: its time is not the run's.
        return t != planned and (self.rules or self.evaluated(t))


@dataclass
class _Life:
    """What lasts when the nodes that are left begin anew from a commit, after one is lost."""

    member: NodeContext
    asked: dict[str, Any]
    meter: Meter = field(default_factory=Meter)
    notes: list[dict[str, Any]] = field(default_factory=list)
    """Of commits that the parent may not know of: whoever tells it may be lost with them."""
    measured: list[Any] = field(default_factory=list)
    """At those commits, the meter without this node's jobs, which are in the ledger."""
    told: int = 0
    """The last commit that this rank has told of."""
    own: dict[str, Any] = field(default_factory=dict)
    """What this node remembers, at its last commit."""
    last_state: dict[str, Any] = field(default_factory=dict)
    """What it remembers after its last job, committed or not."""
    remembers: bool = False
    """Whether any node has remembered something after a job."""
    paused_s: float = 0.0
    jobs_s: float = 0.0
    session: _Session | None = None

    def __post_init__(self) -> None:
        self.program = load(self.member.channel, "the program", self.asked["program"])
        self.rest = pace(self.member).rest
        self.rhythm = _Rhythm(**self.asked["rhythm"])

    def attempt(self, asked: dict[str, Any], saved: Any) -> None:
        """Run the program from a commit on, to its end or until it cannot go on."""
        me, members = self.member.rank, asked["members"]
        behind = None if self.session is None else self.session.round
        try:
            # Ids of nodes stay what they were; those that are left have places among themselves.
            socks = {members.index(r): s for r, s in connect(self.member.channel).items()} if asked["meshed"] else {}
            joint = collective(
                self.asked["exchange"],
                members.index(me),
                len(members),
                socks,
                self.asked["wire"],
                self.meter,
                spin=asked["spin"],
                timeout=FOR_EVER,
                store=asked["store"],
            )
        except (Broken, NotConnected) as e:
            self._tell({"broken": str(e), "round": -1 if behind is None else behind})
            return
        clock = RealClock()
        site = Site(self.member.model, self.member.data, self.member.setup["seed"])
        executor = Joined(me, site, self.asked["exchange"], joint, self.meter, self.rest)
        executor.members, executor.gone, executor.jobs_s = members, dict(asked["gone"]), self.jobs_s
        executor.remembers = self.remembers
        self.session = session = _Session(self, members[0] == me, executor, clock)
        if saved is not None:
            session.go_on_from(saved, behind, self.last_state)
            self.notes = [n for n in saved.get("notes", ()) if n["round"] > asked["recorded"]]
        self._tell({"ready": True})
        go, _, _ = self.member.channel.receive()
        clock.restart(time.monotonic() - go["origin"])
        if not asked["again"]:
            self.meter.waiting_s = self.meter.wire_s = self.meter.serial_s = 0.0
        else:
            session.report()
        try:
            clock.run(self.program(Federation(session)))
            self._tell({"done": True, "round": session.round})
        except BaseException as e:
            error = e
            while isinstance(error, BaseExceptionGroup):  # from a program's TaskGroup
                error = error.exceptions[0]
            session.roll_back()
            if isinstance(error, Broken):
                self._tell({"broken": f"node {members[error.peer]} {error.why}", "round": session.round})
            else:
                self._tell({"raised": told(e), "round": session.round, **self._numbers()}, {"books": session.books()})
        finally:
            self.jobs_s, self.last_state, self.remembers = executor.jobs_s, executor.last_state, executor.remembers
            joint.close()

    def give(self) -> None:
        """All that the others, and the parent, need to go on from this rank's last commit."""
        assert self.session is not None
        self.session.roll_back()
        again = {**self.session.checkpoint().tree, "notes": self.notes}
        self._tell(
            {"given": True, "round": self.session.round, **self._numbers()},
            {"again": again, "books": self.session.books()},
        )

    def _numbers(self) -> dict[str, Any]:
        assert self.session is not None
        executor = self.session.executor
        assert isinstance(executor, Joined)
        numbers = {"notes": self.notes, "measured": self.measured, "planned": self.session.planned}
        return {**numbers, "remembers": executor.remembers}

    def _tell(self, message: dict[str, Any], tree: Any = None) -> None:
        self.member.channel.send({"run": self.asked["run"], **message}, tree)


class _Session(Session):
    """The books of a rank. Its commits are the run's; the parent evaluates and writes."""

    def __init__(self, life: _Life, tells: bool, executor: Joined, clock: RealClock) -> None:
        self._life, self._tells = life, tells
        super().__init__(
            model=life.member.model,
            data=life.member.data,
            executor=executor,
            clock=clock,
            network=None,
            seed=life.member.setup["seed"],
            options=Options(program=type(life.program).__qualname__, per_node=life.asked["per_node"]),
            communicates=getattr(life.program, "communicates", True),
        )
        self._at_nodes: Any = None

    def go_on_from(self, saved: Any, behind: int | None, last: dict[str, Any]) -> None:
        """Take over a commit, of this run or of one that was stopped; of what nodes remember only what is its own."""
        own = self._life.own
        self.restore(Checkpoint(saved, [], self.identity))
        if behind is not None:
            # A commit that another has made and this rank just missed takes its last answer, which was in it.
            self.node_states = {self._life.member.rank: {**own, **(last if behind < self.round else {})}}

    def commit(
        self,
        state: State,
        metrics: dict[str, float] | None = None,
        extra: dict[str, float] | None = None,
        now: float | None = None,
        at_nodes: Any = None,
    ) -> None:
        """Make a commit, and tell the parent of it when that is due."""
        self.check_finite(state)
        life, executor = self._life, self.executor
        assert isinstance(executor, Joined)
        self.round, self.state = self.round + 1, state
        life.notes.append(
            {
                "round": self.round,
                "metrics": metrics,
                "extra": extra,
                "used": self.used,
                "losses": self._losses,
                "ledger": self.ledger.as_tree(),
                "elapsed": self.clock.now - life.paused_s,
            }
        )
        self._at_nodes = at_nodes
        m = life.meter.copy()
        m.compute_s -= executor.jobs_s
        life.measured.append([self.round, m.as_tree()])
        life.own = dict(self.node_state(life.member.rank))
        self.used, self._losses, self._staleness = 0, [], []
        self._last = self._as_commit()
        if life.rhythm.told(self.round, self.planned):
            self.report()

    def report(self) -> None:
        """Tell the parent of the last commit, and wait for its word if that is due."""
        life, t = self._life, self.round
        waits = life.rhythm.waits(t, self.planned)
        message = {
            "run": life.asked["run"],
            "commit": t,
            "planned": self.planned,
            "measured": life.measured,
            "waits": waits,
        }
        tree: Any = {"own": self.node_state(life.member.rank)}
        if self._tells:
            message["notes"] = life.notes
            tree["books"] = self.books()
        life.member.channel.send(message, tree)
        life.notes = [n for n in life.notes if n["round"] > life.told]
        life.measured = [m for m in life.measured if m[0] > life.told]
        life.told = t
        if waits:
            started = time.perf_counter()
            word, _, _ = life.member.channel.receive()
            life.paused_s += time.perf_counter() - started
            self.stopped = bool(word.get("stop"))

    def books(self) -> dict[str, Any]:
        """The last commit as the parent takes it over."""
        c = self._last
        return {
            "state": c.state,
            "counts": [list(self.counts), list(self.counts.values())],
            "draws": c.draws,
            "reducers": c.reducers,
            "extra": c.extra,
            "at_nodes": self._at_nodes,
        }
