"""The parent's side of a decentralised program whose peers are processes: it keeps the books, and carries no message.

Every peer sends its books when it commits. When all have sent those of their t-th commit, that cut becomes the run's
commit t, as it does where all peers are in one process; peers do not wait for it. For every cut the parent knows by
numbers which messages cross it, and asks their senders for them, so that a run can go on from any of its commits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from foedus.core.cut import Number, commit_cut, consumed, mean_model, sent_before
from foedus.core.errors import BadInput, Deadlock, NodeFailed, ProgramError
from foedus.core.peer import Books, Message, edges_for, senders_of
from foedus.core.session import Session, diverged, node_failed
from foedus.core.state import State
from foedus.core.update import Failed
from foedus.runtimes.channel import Closed
from foedus.runtimes.launch import pickled
from foedus.runtimes.processes.crew import Crew
from foedus.runtimes.processes.meter import Meter
from foedus.runtimes.processes.told import retold

log = logging.getLogger("foedus")

GRACE = 2.0
"""Seconds that a run which has failed waits for others to make a commit that those that failed have made."""


async def drive(
    program: Any, session: Session, crew: Crew, wire: str, lost: str = "abort", meters: dict[int, Meter] | None = None
) -> Tensor:
    """Run a decentralised program in the crew's processes; the mean of the nodes' models at the last common commit.

    ``wire``    between neighbours: ``"shared"`` memory or TCP ``"sockets"``.
    ``meters``  is given what each node's process has measured until its last commit that counts.

    Errors: ``BadInput`` for ``lost="skip"``, and for a program that cannot be sent; ``NodeFailed`` when a process is
    lost or its job or program raises; as ``core.hub.run_peers`` else.
    """
    if lost != "abort":
        raise BadInput(
            f'lost="{lost}" is not for decentralised programs: a peer waits for its neighbours, and only the program '
            'could know what their weights become without one of them. Use lost="abort", and name nodes that are to '
            "be away in the program (absences=)"
        )
    if hasattr(program, "prepare"):
        log.info("%s", program.prepare(session.data.nodes))
    run = _Run(program, session, crew, {} if meters is None else meters)
    try:
        run.open(wire)
        await run.cuts()
    finally:
        run.close()
    if session.state is None:
        raise ProgramError("the program ended without peer.commit(state): nothing of it would be kept")
    return session.state.w  # type: ignore[no-any-return]


class _Run:
    def __init__(self, program: Any, session: Session, crew: Crew, meters: dict[int, Meter]) -> None:
        self.program, self.session, self.crew, self.meters = program, session, crew, meters
        self.nodes = session.data.nodes
        self.edges = edges_for(program, self.nodes)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._error: Callable[[], BaseException] | None = None
        self._failed: set[int] = set()
        self._until = 0.0
        self._ready: set[int] = set()
        self._done: set[int] = set()
        self._made: dict[int, dict[int, tuple[Books, Meter]]] = {}
        self._answers: list[Message] = []
        self._idle: dict[int, list[Any]] = {}
        self._still: dict[int, list[Any]] = {}
        self._asked: list[int] | None = None
        self._new = False
        self._last: list[Books] | None = None
        self._began = session.clock.now
        # Peers of an earlier run with the same crew may still have had something to say.
        self._run = time.monotonic_ns()
        saved = session.extra.get("peers") or {"books": [], "messages": [], "dropped": []}
        self._saved = saved
        # Where the last cut left off: how much was sent, what crosses it, and what is to be dropped if sent again.
        self._sent = [dict(b["sent"]) for b in saved["books"]] or [{} for _ in range(self.nodes)]
        self._crossing: dict[Number, Message] = {m.number: m for m in (Message(**m) for m in saved["messages"])}
        self._dropped: set[Number] = {tuple(x) for x in saved["dropped"]}

    # -- beginning and end -------------------------------------------------------------------------------------

    def open(self, wire: str) -> None:
        """Send the program to all, and connect them with their neighbours."""
        data = pickled(
            self.program, lambda e: f"{self.program!r} cannot be sent to node processes ({e}); use fd.Simulation()"
        )
        for rank in range(self.nodes):
            saved = None
            if self._saved["books"]:
                saved = {
                    "books": self._saved["books"][rank],
                    "messages": [m for m in self._saved["messages"] if m["to"] == rank],
                    "dropped": [x for x in self._saved["dropped"] if x[0] == rank],
                }
            self._send(rank, {"role": "peer", "run": self._run, "wire": wire, "program": data}, saved)
        senders = senders_of(self.edges)
        self.crew.mesh(lambda rank: {*self.edges[rank], *senders[rank]}, wire, other=lambda *_: None)
        self.crew.watch(self._loop, self._lost)
        for rank, channel in enumerate(self.crew.channels):
            self._loop.add_reader(channel, self._readable, rank)

    def close(self) -> None:
        """Tell all that it is over. The last commit gets its model, if it has only numbers so far."""
        self.crew.unwatch()
        for channel in self.crew.channels:
            self._loop.remove_reader(channel)
            with contextlib.suppress(Closed):
                channel.send({"end": True}, wait=False)
        s = self.session
        if self._last is not None and s.state is not None and "w" not in s.state:
            s.state = s._last.state = State(w=mean_model(self._last))

    def _go(self) -> None:
        self._began = self.session.clock.now
        origin = time.monotonic() - self._began
        for rank in range(self.nodes):
            self._send(rank, {"origin": origin})

    # -- cuts --------------------------------------------------------------------------------------------------

    async def cuts(self) -> None:
        """Make the run's commits, one after the other, until all peers are done or a stop rule says so."""
        s = self.session
        while not s.stopped:
            t = s.round + 1
            while len(self._made.get(t, {})) < self.nodes:
                if len(self._done) == self.nodes:
                    return
                await self._wait()
            found = self._made.pop(t)
            cut = [found[n][0] for n in range(self.nodes)]
            taken = consumed(cut)
            orphans = {k for k in taken | self._dropped if not sent_before(k, cut)}
            crossing = await self._ask_for(self._across(cut) - taken - self._dropped)
            self._commit(cut, crossing, orphans)
            self.meters.update((n, meter) for n, (_, meter) in found.items())
            self._crossing, self._dropped, self._last = crossing, orphans, cut
            self._sent = [b.sent for b in cut]
            self._settle(taken - orphans)

    def _across(self, cut: Sequence[Books]) -> set[Number]:
        """Messages sent before this cut that had not been taken before the last one."""
        numbers = set(self._crossing)
        for frm, b in enumerate(cut):
            for to, sent in b.sent.items():
                numbers.update((frm, to, seq) for seq in range(self._sent[frm].get(to, 0), sent))
        return numbers

    async def _ask_for(self, numbers: set[Number]) -> dict[Number, Message]:
        """The messages with these numbers, from those who sent them."""
        missing: dict[int, list[list[int]]] = {}
        for frm, to, seq in sorted(numbers - set(self._crossing)):
            missing.setdefault(frm, []).append([to, seq])
        self._answers = []
        for frm, wanted in missing.items():
            self._send(frm, {"crossing": wanted})
        while len(self._answers) < sum(map(len, missing.values())):
            await self._wait()
        found = self._crossing | {m.number: m for m in self._answers}
        return {k: found[k] for k in sorted(numbers)}

    def _commit(self, cut: list[Books], crossing: dict[Number, Message], orphans: set[Number]) -> None:
        s, t = self.session, self.session.round + 1
        # The clock of the run is the peers': they went on while this process computed.
        elapsed = max(b.time for b in cut) - self._began
        s._outside = time.perf_counter() - s._wall_started - elapsed
        o = s.options
        due = t == s.planned or t % o.evaluate_every == 0 or (o.evaluate_nodes and t % o.evaluate_nodes == 0)
        kept = o.folder is not None and t % o.checkpoint_every == 0
        # A stop rule may end the run at any commit, and the last is always evaluated.
        commit_cut(s, cut, crossing.values(), orphans, whole=bool(due or kept or o.stop))

    def _settle(self, done: set[Number]) -> None:
        """Tell peers which messages nobody will ask for any more."""
        taken: list[list[list[int]]] = [[] for _ in range(self.nodes)]
        settled: list[list[list[int]]] = [[] for _ in range(self.nodes)]
        for frm, to, seq in done:
            taken[to].append([frm, seq])
            settled[frm].append([to, seq])
        for rank, channel in enumerate(self.crew.channels):
            if taken[rank] or settled[rank] or channel.unreturned:
                self._send(rank, {"taken": taken[rank], "settled": settled[rank]})

    # -- what is heard -----------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Until something has come. Errors: what ends the run."""
        self._news.clear()
        if self._error is None:
            await self._news.wait()
            return
        # Those that failed may have made the next commit, which only others have not: these may be about to.
        ahead = self._failed <= self._made.get(self.session.round + 1, {}).keys()
        left = self._until - self._loop.time() if ahead else 0.0
        try:
            async with asyncio.timeout(left):
                await self._news.wait()
        except TimeoutError:
            raise self._error() from None

    def _readable(self, rank: int) -> None:
        try:
            self._take_in(rank)
        except Closed:
            self._broken(rank)

    def _take_in(self, rank: int) -> None:
        for message, tree, _ in self.crew.channels[rank].poll():
            if message.get("run") == self._run or "cannot" in message:
                self._hear(rank, message, tree)
        self._news.set()

    def _hear(self, rank: int, message: dict[str, Any], tree: Any) -> None:
        s = self.session
        if "commit" in message:
            if message["planned"] is not None:
                s.planned = message["planned"]
            books = Books.from_tree(tree)
            self._made.setdefault(message["commit"], {})[rank] = books, Meter(**message["meter"])
        elif "idle" in message or "still" in message:
            self._waits(rank, message)
        elif "crossing" in message:
            self._answers += [Message(**m) for m in tree]
        elif "done" in message:
            self._done.add(rank)
        elif "ready" in message:
            self._ready.add(rank)
            if len(self._ready) == self.nodes:
                self._go()
        elif "failed" in message:
            failed = Failed(*message["failed"])
            self._fail(rank, lambda: diverged(s, failed) if failed.nonfinite else node_failed(s, failed))
        elif "raised" in message:
            self._fail(rank, lambda: retold(s, rank, *message["raised"]))
        elif "cannot" in message:
            self._fail(
                rank,
                lambda: BadInput(
                    f"node processes cannot load {message['cannot']}: define it in the script itself or in a module "
                    "that can be imported, or use fd.Simulation()"
                ),
            )

    def _waits(self, rank: int, message: dict[str, Any]) -> None:
        """A peer waits for a message. When all do and none is under way, none ever will be (Mattern 1987): as many were
        received, by what all said first, as were sent, by what all say when asked after that.
        """
        if "idle" in message:
            self._idle[rank], self._new = message["idle"], True
        else:
            self._still[rank] = message["still"]
        if self._asked is not None and len(self._still) == self.nodes:
            (_, received), (sent, _), self._asked = self._asked, _sums(self._still), None
            if received == sent and len(self._done) < self.nodes:
                self._fail(rank, self._deadlock)
                return
        if self._asked is None and self._new and len(self._idle) == self.nodes:
            self._asked, self._still, self._new = _sums(self._idle), {}, False
            for n in range(self.nodes):
                self._send(n, {"still": True})

    def _deadlock(self) -> Deadlock:
        places = sorted({place for _, _, place in self._still.values() if place})
        return Deadlock(
            "every peer waits for a message and none is under way: a deadlock. Waiting at: "
            + ("; ".join(places[:8]) or "nowhere known")
        )

    def _fail(self, rank: int, error: Callable[[], BaseException]) -> None:
        """The run ends with this error, made when all commits that can be made have been: it says which is kept."""
        if self._error is None:
            self._error, self._until = error, self._loop.time() + GRACE
        self._failed.add(rank)
        self._news.set()

    def _send(self, rank: int, message: dict[str, Any], tree: Any = None) -> None:
        try:
            self.crew.channels[rank].send(message, tree)
        except Closed:
            self._broken(rank)

    def _broken(self, rank: int) -> None:
        """Its channel has ended, which the end of its process does."""
        self._loop.remove_reader(self.crew.channels[rank])
        if self._error is None:
            self._lost(rank, self.crew.ended(rank))

    def _lost(self, rank: int, how: str) -> None:
        s = self.session
        self._loop.remove_reader(self.crew.channels[rank])
        with contextlib.suppress(Closed):
            self._take_in(rank)  # what it had sent before its end counts
        self._fail(
            rank,
            lambda: NodeFailed(
                f"node {rank}'s process {how} in round {s.round + 1}; the last good model, of round {s.round}, is kept"
            ),
        )


def _sums(traffic: dict[int, list[Any]]) -> list[int]:
    return [sum(t[0] for t in traffic.values()), sum(t[1] for t in traffic.values())]
