"""The parent's side of a program that all nodes run together: it keeps the books, and decides who goes on.

The nodes join their answers among themselves. When a commit is due to be evaluated or written, each tells what it has
measured, and the lowest of them what it has committed, with all commits since the last. When a node is lost, the
others notice in their next call. Then the run ends, with the last commit of whoever was furthest; or those that are
left are connected anew, and go on from that commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
import time
from typing import Any

from torch import Tensor

from foedus.core.errors import NodeFailed, WorkerError
from foedus.core.ledger import Costs
from foedus.core.session import Session
from foedus.core.trees import owned
from foedus.runtimes.channel import Closed
from foedus.runtimes.launch import pickled_program, refused
from foedus.runtimes.processes.collectives.collective import edges
from foedus.runtimes.processes.parent.process_group import NodeLost, ProcessGroup
from foedus.runtimes.processes.wire.messages import retold
from foedus.runtimes.processes.wire.meter import Meter

log = logging.getLogger("foedus")

PATIENCE = 5.0
"""Seconds given to what should follow at once: the others' notice of a loss, and the loss behind a broken exchange."""


async def drive(program: Any, session: Session, group: ProcessGroup, exchange: str, wire: str, goes_on: bool) -> Tensor:
    """Run a program at all nodes together; the model of the last commit.

    Errors: ``BadInput`` for a program that cannot be sent or that the exchange does not fit; ``NodeFailed`` when a
    process is lost and the run does not go on without; and what the program raises.
    """
    team = _Team(program, session, group, exchange, wire, goes_on)
    try:
        await team.run()
    finally:
        team.close()
    return session.outcome("fed.commit")


class _Team:
    def __init__(
        self, program: Any, session: Session, group: ProcessGroup, exchange: str, wire: str, goes_on: bool
    ) -> None:
        self.session, self.group, self.exchange, self.wire, self.goes_on = session, group, exchange, wire, goes_on
        self._loop = asyncio.get_running_loop()
        self._program = pickled_program(program)
        o = session.options
        self._rhythm = {
            "evaluate_every": o.evaluate_every,
            "evaluate_nodes": o.evaluate_nodes,
            "checkpoint_every": o.checkpoint_every if o.folder is not None else 0,
            "rules": bool(o.stop),
        }
        self._run = time.monotonic_ns()
        self._events: asyncio.Queue[tuple[int, dict[str, Any], Any]] = asyncio.Queue()
        self._place = ""
        """Where gloo's processes meet."""
        self._attempts = 0
        self._gone: dict[int, str] = {}
        self._measured: list[dict[int, Meter]] = [{} for _ in range(group.nodes)]
        """By node and commit, what it has measured since the run began."""
        self._saved = None if session.state is None else session.checkpoint().tree
        # When the run's time was 0, once all have begun; until then about when.
        self._began = time.monotonic() - (0.0 if self._saved is None else self._saved["now"])
        self._started = self._over = False
        self._reset()

    def _reset(self) -> None:
        self._members = sorted(self.group.alive)
        self._ended: dict[int, int] = {}
        """By member whose exchange broke, or whose program ended: its last commit, -1 if it did not come to begin."""
        self._done: set[int] = set()
        self._ready: set[int] = set()
        self._losing = False
        """Whether a member is lost, and the others are to notice."""
        self._unmet = ""
        self._held: set[int] = set()
        """Members that wait for the parent's word."""
        self._told: dict[int, dict[int, Any]] = {}
        """By commit, what each member that has told of it remembers."""
        self._books: dict[int, tuple[dict[str, Any], Any]] = {}

    def close(self) -> None:
        """The processes are the group's to end."""
        self.group.unwatch()
        for channel in self.group.channels:
            self._loop.remove_reader(channel)
        self._leave()

    def _leave(self) -> None:
        # As soon as all have met: if this process is killed, nobody else will.
        if self._place:
            shutil.rmtree(self._place, ignore_errors=True)
        self._place = ""

    # -- beginning, and beginning anew -------------------------------------------------------------------------

    async def run(self) -> None:
        """To the end of the program."""
        for rank, channel in enumerate(self.group.channels):
            self._loop.add_reader(channel, self._readable, rank)
        self.group.watch(self._loop, self._lost)
        self._begin(self._saved, "role")
        while not self._over and len(self._done) < len(self._members):
            await self._one()

    def _begin(self, saved: Any, how: str) -> None:
        """Have all members run the program from a commit on."""
        self._reset()
        self._attempts += 1
        # Gloo connects its processes itself, but would wait for one that is lost: so all meet here first.
        meshed = len(self._members) > 1
        self._leave()
        if self.exchange == "gloo":
            self._place = tempfile.mkdtemp(prefix="foedus-")
        asked = {
            "role": "rank",
            "again": how == "again",
            "run": self._run,
            "program": self._program,
            "exchange": self.exchange,
            "wire": self.wire,
            "rhythm": self._rhythm,
            "per_node": self.session.options.per_node,
            "members": self._members,
            "gone": self._gone,
            "meshed": meshed,
            "spin": not self.group.oversubscribed,
            "store": os.path.join(self._place, "meeting") if self._place else "",
            "recorded": self.session.round,
        }
        for rank in self._members:
            own = saved
            if saved is not None and how == "role":  # of what nodes remember, each is given its own
                states = saved["node_states"]
                own = {**saved, "node_states": {rank: states[rank]} if rank in states else {}}
            self._send(rank, asked, own)
        if meshed:
            places = {rank: place for place, rank in enumerate(self._members)}

            def others(rank: int) -> set[int]:
                return {self._members[p] for p in edges(self.exchange, places[rank], len(places))}

            try:
                self.group.rendezvous(others, self.wire, self._members, other=self._hear)
            except NodeLost as e:
                self._lost(e.rank, e.reason)
            except WorkerError as e:  # one of them may hang, which is soon known
                self._unmet = str(e)

    # -- what is heard -----------------------------------------------------------------------------------------

    def _readable(self, rank: int) -> None:
        try:
            frames = self.group.channels[rank].poll()
        except Closed:
            self._lost(rank, self.group.ended(rank))
            return
        for message, tree, _ in frames:
            self._hear(rank, message, tree)

    def _hear(self, rank: int, message: dict[str, Any], tree: Any) -> None:
        if message.get("run") == self._run or "cannot" in message:
            self._events.put_nowait((rank, message, tree))

    def _lost(self, rank: int, how: str) -> None:
        if rank not in self._gone:
            self._gone[rank] = how
            self._loop.remove_reader(self.group.channels[rank])
            with contextlib.suppress(Closed):  # its last words
                for message, tree, _ in self.group.channels[rank].poll():
                    self._hear(rank, message, tree)
            self._events.put_nowait((rank, {"lost": how}, None))

    def _send(self, rank: int, message: dict[str, Any], tree: Any = None) -> None:
        if rank in self._gone:
            return
        try:
            self.group.channels[rank].send(message, tree)
        except Closed:
            self._lost(rank, self.group.ended(rank))

    async def _one(self) -> None:
        rank, message, tree = await self._events.get()
        self._take(rank, message, tree)
        if "broken" in message and not self._lost_members():
            await self._why(message["broken"])
        elif "lost" in message:
            await self._without(rank)

    def _take(self, rank: int, message: dict[str, Any], tree: Any) -> None:
        """Take note of one event. Errors: those that end the run."""
        if "commit" in message:
            self._note(rank, message)
            t, tree = message["commit"], owned(tree)
            self._told.setdefault(t, {})[rank] = tree["own"]
            if message["waits"]:
                self._held.add(rank)
            if "notes" in message:
                self._books[t] = message, tree["books"]
            if t in self._books and self._told[t].keys() >= set(self._members):
                # What nodes remember has to be that of one commit.
                self.session.node_states.update({r: own for r, own in self._told.pop(t).items() if own})
                self._commit(*self._books.pop(t))
                self._go_on()
            elif self._losing:
                self._go_on()
        elif "done" in message:
            self._done.add(rank)
            self._ended[rank] = message["round"]
        elif "ready" in message:
            self._ready.add(rank)
            if self._losing:
                self._send(rank, {"origin": self._began})
            elif len(self._ready) == len(self._members):
                self._go()
        elif "broken" in message:
            self._ended[rank] = message["round"]
        elif "raised" in message:
            self._note(rank, message)
            self._end_with(message, tree)
            raise retold(self.session, rank, *message["raised"])
        elif "cannot" in message:
            raise refused(message)
        elif "lost" in message:
            log.warning("node %d is lost: its process %s", rank, message["lost"])

    def _lost_members(self) -> list[int]:
        return [r for r in self._members if r in self._gone]

    async def _why(self, broken: str) -> None:
        """An exchange broke, and nobody is known to be lost: that is soon known, or something else was wrong."""
        until = self._loop.time() + PATIENCE + (self.group.patience if self._unmet else 0.0)
        while not self._lost_members() and self._loop.time() < until:
            await asyncio.sleep(0.02)
        if not self._lost_members():
            raise WorkerError(self._unmet or f"the nodes' exchange broke in round {self.session.round + 1}: {broken}")

    def _go(self) -> None:
        self._leave()
        if not self._started:
            self._started = True
            self._began = time.monotonic() - (0.0 if self._saved is None else self._saved["now"])
        for rank in self._members:
            self._send(rank, {"origin": self._began})

    # -- commits -----------------------------------------------------------------------------------------------

    def _note(self, rank: int, message: dict[str, Any]) -> None:
        if message["planned"] is not None:
            self.session.planned = message["planned"]
        for t, measured in message["measured"]:
            self._measured[rank][t] = Meter(**measured)

    def _commit(self, message: dict[str, Any], books: Any) -> None:
        """Make the run's commits up to this one."""
        s = self.session
        notes = [n for n in message["notes"] if n["round"] > s.round]
        for note in notes:
            last = note is notes[-1]
            s.follow(books, note["elapsed"])
            s.ledger.restore(note["ledger"])
            for rank, measured in enumerate(self._measured):
                known = [t for t in measured if t <= note["round"]]
                if known:
                    s.ledger.charge(rank, **_costs(measured[max(known)]))
            s.used, s._losses = note["used"], [(x, w) for x, w in note["losses"]]
            s.commit(books["state"], note["metrics"], note["extra"], at_nodes=books["at_nodes"] if last else None)
        for measured in self._measured:
            for t in sorted(measured)[:-2]:
                del measured[t]

    def _end_with(self, message: dict[str, Any], tree: Any) -> None:
        """Make the commits that one member has made and not all have told of, before the run ends.

        If nodes remember something, what those do that have not told is not known: the last commit that all have told
        of, which is the session's, is then the last.
        """
        if not self._remembers(message):
            self._commit(message, owned(tree["books"]))

    def _remembers(self, message: dict[str, Any]) -> bool:
        return bool(message["remembers"] or self.session.node_states)

    def _go_on(self) -> None:
        """Whoever waits for the parent's word is given it."""
        for rank in sorted(self._held):
            self._send(rank, {"stop": self.session.stopped})
        self._held.clear()

    # -- losses ------------------------------------------------------------------------------------------------

    async def _without(self, rank: int) -> None:
        """A member is lost: end the run at the last commit of whoever is furthest, or go on from there."""
        if rank not in self._members or len(self._done) == len(self._members):
            return
        # Whoever waits for something that the lost one keeps from coming goes on to where it breaks.
        self._losing = True
        self._go_on()
        if len(self._ready) < len(self._members):
            for r in self._ready:
                self._send(r, {"origin": self._began})
        while [r for r in self._members if r not in self._gone and r not in self._ended]:
            # Those that still compute notice when they are done: until then there is nothing to do but wait.
            try:
                self._take(*await asyncio.wait_for(self._events.get(), None if self.goes_on else PATIENCE))
            except TimeoutError:
                break
        given = await self._furthest()
        s = self.session
        if given is not None:
            giver, message, tree = given
            self._note(giver, message)
            if giver in self._done and (self.goes_on or not self._remembers(message)):
                # It was lost when all commits were made, if not at all nodes.
                self._commit(message, owned(tree["books"]))
                self._over = True
                return
            if not self.goes_on:
                self._end_with(message, tree)
        if not self.goes_on or not set(self._members) - set(self._gone):
            hint = "no other is left" if self.goes_on else 'Processes(lost="skip") goes on without a node that is lost'
            raise NodeFailed(
                f"node {rank}'s process {self._gone[rank]} in round {s.round + 1}; the last good model, of round "
                f"{s.round}, is kept; {hint}"
            )
        if given is None:  # nobody had begun
            self._begin(self._saved, "role")
        else:
            self._begin(given[2]["again"], "again")

    async def _furthest(self) -> tuple[int, dict[str, Any], Any] | None:
        """The books of the last commit that any of those that are left has made; None if none has begun."""
        while there := [r for r in self._members if r not in self._gone and self._ended.get(r, -1) >= 0]:
            giver = max(there, key=lambda r: (self._ended[r], r in self._done))
            self._send(giver, {"give": True})
            while giver not in self._gone:
                rank, message, tree = await self._events.get()
                if rank == giver and "given" in message:
                    return rank, message, tree
                self._take(rank, message, tree)
        return None


def _costs(m: Meter) -> dict[str, Any]:
    return vars(
        Costs(
            bytes_up=m.vector_sent,
            bytes_down=m.vector_received,
            messages_up=m.messages_sent,
            messages_down=m.messages_received,
            compute_s=m.compute_s,
            wire_s=m.wire_s,
            serial_s=m.serial_s,
            waiting_s=m.waiting_s,
            framing=m.bytes_sent + m.bytes_received - m.vector_sent - m.vector_received,
        )
    )
