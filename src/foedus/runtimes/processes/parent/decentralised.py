"""The parent's side of a decentralised program whose peers are processes: it keeps the books, and carries no message.

Every peer sends its books when it commits. When all have sent those of their t-th commit, that cut becomes the run's
commit t, as it does where all peers are in one process; peers do not wait for it. For every cut the parent knows by
numbers which messages cross it, and asks their senders for them, so that a run can go on from any of its commits.

When a peer is lost and the run goes on, all others are told; each hears of it when it does, so that what the lost one
sent last may have reached some and not others. Commits that it had made count; in later ones it has no weight.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from foedus.core.cut import Number, commit_cut, consumed, mean_model, sent_before, without
from foedus.core.errors import BadInput, Deadlock, NodeFailed
from foedus.core.peer import Books, Message, edges_for, senders_of
from foedus.core.session import Session, diverged, node_failed
from foedus.core.state import State
from foedus.core.update import Failed
from foedus.runtimes.channel import Closed
from foedus.runtimes.launch import pickled_program, refused
from foedus.runtimes.processes.parent.process_group import NodeLost, ProcessGroup
from foedus.runtimes.processes.wire.messages import retold
from foedus.runtimes.processes.wire.meter import Meter
from foedus.topologies import Graph

log = logging.getLogger("foedus")

GRACE = 2.0
"""Seconds that a run which has failed waits for others to make a commit that those that failed have made."""


async def drive(
    program: Any,
    session: Session,
    group: ProcessGroup,
    wire: str,
    lost: str = "abort",
    meters: dict[int, Meter] | None = None,
) -> Tensor:
    """Run a decentralised program in the group's processes; the mean of the nodes' models at the last common commit.

    ``wire``    between neighbours: ``"shared"`` memory or TCP ``"sockets"``.
    ``lost``    ``"abort"``: the run ends when a process is lost; ``"skip"``: it goes on among the others.
    ``meters``  is given what each node's process has measured until its last commit that counts.

    A program that can go on without nodes has ``check_lost(nodes)``: it is called once before the peers start, and
    raises ``BadInput`` where it cannot. What stands for a lost neighbour's message it says in ``Peer.exchange``.

    Errors: ``BadInput`` for ``lost="skip"`` and a program that has no ``check_lost``, and for one that cannot be sent;
    ``NodeFailed`` when a process is lost (with ``"skip"``: the last one) or its job or program raises; as
    ``core.hub.run_peers`` else.
    """
    skip = lost != "abort"
    if skip and not hasattr(program, "check_lost"):
        raise BadInput(
            f'lost="{lost}" is not for {getattr(program, "__name__", type(program).__name__)}: its peers wait for '
            "their neighbours, and it does not say what their weights become without one of them (it has no "
            'check_lost). Use lost="abort", or a program that goes on: Gossip, or PushSum without absences'
        )
    if hasattr(program, "prepare"):
        log.info("%s", program.prepare(session.data.nodes))
    if skip:
        program.check_lost(session.data.nodes)
    run = _Run(program, session, group, {} if meters is None else meters, skip)
    try:
        run.open(wire)
        await run.cuts()
    finally:
        run.close()
    return session.outcome("peer.commit")


class _Run:
    def __init__(
        self, program: Any, session: Session, group: ProcessGroup, meters: dict[int, Meter], skip: bool
    ) -> None:
        self.program, self.session, self.group, self.meters, self.skip = program, session, group, meters, skip
        self.nodes = session.data.nodes
        self.edges = edges_for(program, self.nodes)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._error: Callable[[], BaseException] | None = None
        self._failed: set[int] = set()
        self._until = 0.0
        self._ready: set[int] = set()
        self._going = False
        self._pieces: list[list[int]] = []
        self._done: set[int] = set()
        self._made: dict[int, dict[int, tuple[Books, Meter]]] = {}
        self._answers: list[Message] = []
        self._unanswered: set[int] = set()
        self._idle: dict[int, list[Any]] = {}
        self._still: dict[int, list[Any]] = {}
        self._asked: list[int] | None = None
        self._new = False
        self._last: list[Books] | None = None
        """The peers' books at the last cut that this run has made."""
        self._began = session.clock.now
        # Peers of an earlier run with the same group may still have had something to say.
        self._run = time.monotonic_ns()
        saved = session.extra.get("peers") or {"books": [], "messages": [], "dropped": []}
        self._saved = saved
        self.gone: set[int] = set(saved.get("gone", ()))
        """Who is lost: in this run, or in the one that it goes on from."""
        # Where the last cut left off: how much was sent, what crosses it, and what is to be dropped if sent again.
        self._sent = [dict(b["sent"]) for b in saved["books"]] or [{} for _ in range(self.nodes)]
        self._crossing: dict[Number, Message] = {m.number: m for m in (Message(**m) for m in saved["messages"])}
        self._dropped: set[Number] = {tuple(x) for x in saved["dropped"]}

    @property
    def left(self) -> list[int]:
        """Who is not lost."""
        return [n for n in range(self.nodes) if n not in self.gone]

    # -- beginning and end -------------------------------------------------------------------------------------

    def open(self, wire: str) -> None:
        """Send the program to all, and connect them with their neighbours."""
        data = pickled_program(self.program)
        for rank in self.left:
            saved = None
            if self._saved["books"]:
                saved = {
                    "books": self._saved["books"][rank],
                    "messages": [m for m in self._saved["messages"] if m["to"] == rank],
                    "dropped": [x for x in self._saved["dropped"] if x[0] == rank],
                }
            self._send(rank, {"role": "peer", "run": self._run, "wire": wire, "program": data}, saved)
        self._connect(wire)
        self.group.watch(self._loop, self._lost)
        for rank in self.left:
            self._loop.add_reader(self.group.channels[rank], self._readable, rank)

    def _connect(self, wire: str) -> None:
        senders = senders_of(self.edges)

        def others(rank: int) -> set[int]:
            return {*self.edges[rank], *senders[rank]} - self.gone

        while self._error is None:
            try:
                return self.group.rendezvous(others, wire, self.left, other=lambda *_: None)
            except NodeLost as e:
                if not self.skip:
                    raise
                self._lost(e.rank, e.reason)

    def close(self) -> None:
        """Tell all that it is over. The last commit gets its model, if it has only numbers so far."""
        self.group.unwatch()
        for rank in self.left:
            channel = self.group.channels[rank]
            self._loop.remove_reader(channel)
            with contextlib.suppress(Closed):
                channel.send({"end": True}, wait=False)
        s = self.session
        if self._last is not None and s.state is not None and "w" not in s.state:
            s.state = s._last.state = State(w=mean_model(self._last))

    def _go(self) -> None:
        if self._going or not self._ready.issuperset(self.left):
            return
        self._going, self._began = True, self.session.clock.now
        origin, gone = time.monotonic() - self._began, sorted(self.gone)
        for rank in self.left:
            self._send(rank, {"origin": origin, "gone": gone})

    # -- cuts --------------------------------------------------------------------------------------------------

    async def cuts(self) -> None:
        """Make the run's commits, one after the other, until all peers are done or a stop rule says so."""
        s = self.session
        while not s.stopped:
            t = s.round + 1
            while not self._complete(t):
                if self._done and self._done.issuperset(self.left):
                    return
                await self._wait()
            found = self._made.pop(t)
            cut = [found[n][0] if n in found else without(self._books(n)) for n in range(self.nodes)]
            taken = consumed(cut)
            # What a lost peer has sent since its last commit is not sent again, and nothing comes to it any more.
            orphans = {k for k in taken | self._dropped if not sent_before(k, cut) and self.gone.isdisjoint(k[:2])}
            crossing = await self._ask_for(self._across(cut) - taken - self._dropped)
            self._commit(cut, crossing, orphans)
            self.meters.update((n, meter) for n, (_, meter) in found.items())
            self._crossing, self._dropped, self._last = crossing, orphans, cut
            self._sent = [b.sent for b in cut]
            self._settle(taken - orphans)

    def _complete(self, t: int) -> bool:
        """Whether all who are left have made their commit t."""
        made = self._made.get(t, {})
        return bool(made) and made.keys() >= set(self.left)

    def _books(self, rank: int) -> Books:
        """A peer's books at the last cut."""
        if self._last is not None:
            return self._last[rank]
        return Books.from_tree(self._saved["books"][rank]) if self._saved["books"] else Books()

    def _across(self, cut: Sequence[Books]) -> set[Number]:
        """Messages sent before this cut that had not been taken before the last one."""
        numbers = set(self._crossing)
        for frm, b in enumerate(cut):
            for to, sent in b.sent.items():
                numbers.update((frm, to, seq) for seq in range(self._sent[frm].get(to, 0), sent))
        return numbers

    async def _ask_for(self, numbers: set[Number]) -> dict[Number, Message]:
        """The messages with these numbers, from those who sent them. Those that only a lost peer had are lost with it,
        and those to it are not asked for.
        """
        missing: dict[int, list[list[int]]] = {}
        for frm, to, seq in sorted(numbers - set(self._crossing)):
            if frm not in self.gone and to not in self.gone:
                missing.setdefault(frm, []).append([to, seq])
        self._answers, self._unanswered = [], set(missing)
        for frm, wanted in missing.items():
            self._send(frm, {"crossing": wanted})
        while self._unanswered:
            await self._wait()
        found = self._crossing | {m.number: m for m in self._answers}
        return {k: found[k] for k in sorted(numbers) if k in found and k[1] not in self.gone}

    def _commit(self, cut: list[Books], crossing: dict[Number, Message], orphans: set[Number]) -> None:
        s, t = self.session, self.session.round + 1
        # The clock of the run is the peers': they went on while this process computed.
        elapsed = max(b.time for b in cut) - self._began
        s._outside = time.perf_counter() - s._wall_started - elapsed
        o = s.options
        due = t == s.planned or t % o.evaluate_every == 0 or (o.evaluate_nodes and t % o.evaluate_nodes == 0)
        kept = o.folder is not None and t % o.checkpoint_every == 0
        # A stop rule may end the run at any commit, and the last is always evaluated.
        commit_cut(s, cut, crossing.values(), orphans, whole=bool(due or kept or o.stop), gone=self.gone)

    def _settle(self, done: set[Number]) -> None:
        """Tell peers which messages nobody will ask for any more."""
        taken: list[list[list[int]]] = [[] for _ in range(self.nodes)]
        settled: list[list[list[int]]] = [[] for _ in range(self.nodes)]
        for frm, to, seq in done:
            taken[to].append([frm, seq])
            settled[frm].append([to, seq])
        for rank in self.left:
            if taken[rank] or settled[rank] or self.group.channels[rank].unreturned:
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
        for message, tree, _ in self.group.channels[rank].poll():
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
            self._unanswered.discard(rank)
        elif "done" in message:
            self._done.add(rank)
        elif "ready" in message:
            self._ready.add(rank)
            self._go()
        elif "failed" in message:
            failed = Failed(*message["failed"])
            self._fail(rank, lambda: diverged(s, failed) if failed.nonfinite else node_failed(s, failed))
        elif "raised" in message:
            self._fail(rank, lambda: retold(s, rank, *message["raised"]))
        elif "cannot" in message:
            self._fail(rank, lambda: refused(message))

    def _waits(self, rank: int, message: dict[str, Any]) -> None:
        """A peer waits for a message. When all do and none is under way, none ever will be (Mattern 1987): as many were
        received, by what all said first, as were sent, by what all say when asked after that.
        """
        *traffic, gone = message["idle"] if "idle" in message else message["still"]
        if gone != len(self.gone):
            return  # it counts messages of somebody who is lost, as it has yet to hear; then it says anew
        if "idle" in message:
            self._idle[rank], self._new = traffic, True
        else:
            self._still[rank] = traffic
        left = self.left
        if self._asked is not None and len(self._still) == len(left):
            (_, received), (sent, _), self._asked = self._asked, _sums(self._still), None
            if received == sent and not self._done.issuperset(left):
                self._fail(rank, self._deadlock)
                return
        if self._asked is None and self._new and len(self._idle) == len(left):
            self._asked, self._still, self._new = _sums(self._idle), {}, False
            for n in left:
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
        if rank in self.gone:
            return
        try:
            self.group.channels[rank].send(message, tree)
        except Closed:
            self._broken(rank)

    def _broken(self, rank: int) -> None:
        """Its channel has ended, which the end of its process does."""
        self._loop.remove_reader(self.group.channels[rank])
        if self._error is None:
            self._lost(rank, self.group.ended(rank))

    def _lost(self, rank: int, how: str) -> None:
        if rank in self.gone:
            return
        s = self.session
        self._loop.remove_reader(self.group.channels[rank])
        with contextlib.suppress(Closed):
            self._take_in(rank)  # what it had sent before its end counts
        if self.skip:
            self._go_on_without(rank, how)
            if self.left:
                return
        self._fail(
            rank,
            lambda: NodeFailed(
                f"node {rank}'s process {how} in round {s.round + 1}"
                + (", and no other node is left" if self.skip else "")
                + f"; the last good model, of round {s.round}, is kept"
            ),
        )

    def _go_on_without(self, rank: int, how: str) -> None:
        log.warning("node %d is lost: its process %s; the others go on", rank, how)
        self.gone.add(rank)
        self._unanswered.discard(rank)
        self._idle, self._still, self._asked = {}, {}, None
        if self._going:
            for n in self.left:
                self._send(n, {"gone": rank})
        else:
            self._go()
        self._news.set()
        pieces = [p for p in Graph(self.edges).without(frozenset(self.gone)).pieces() if p[0] not in self.gone]
        if len(pieces) > 1 and pieces != self._pieces:
            self._pieces = pieces
            log.warning("the nodes that are left cannot all reach each other, and will not agree: %s", pieces)


def _sums(traffic: dict[int, list[Any]]) -> list[int]:
    return [sum(t[0] for t in traffic.values()), sum(t[1] for t in traffic.values())]
