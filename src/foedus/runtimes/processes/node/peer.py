"""A node's process as a peer of a decentralised program: it runs the program, and talks to its neighbours directly.

One thread does it all. While a job computes, nothing is received: what comes meanwhile lies in the sockets' buffers and
in the queues of those who sent it. What this peer has posted is written before the job as far as the sockets take it.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import selectors
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from foedus.core.coordination.drivers import Wall
from foedus.core.coordination.endings import diverged, node_failed
from foedus.core.coordination.executor import Result
from foedus.core.coordination.mistakes import follow
from foedus.core.coordination.peer import Books, Message, Peer, edges_for, senders_of
from foedus.core.coordination.session import Options, Session
from foedus.core.coordination.site import Site
from foedus.core.errors import ProgramError
from foedus.core.time.clock import RealClock, settle, where
from foedus.core.types.job import Work
from foedus.core.types.update import Failed
from foedus.runtimes.channel import Channel, Closed
from foedus.runtimes.launch import load
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.node.context import Ended, NodeContext
from foedus.runtimes.processes.node.pace import pace
from foedus.runtimes.processes.wire import messages
from foedus.runtimes.processes.wire.kinds import wrap
from foedus.runtimes.segments import SegmentPool
from foedus.runtimes.simulation.inline import Inline

IDLE = 1.0
"""Seconds after which a peer that waits for a message, and for nothing else, says so to the parent."""

RETURN = 8
"""Pieces of a neighbour's memory that are given back by a message of their own, if there is no other to it."""

TRAIL = 0.2
"""Seconds that are waited for the rest of what a lost neighbour had sent, should its end not be there at once."""


def be_peer(context: NodeContext, role: messages.BePeer, saved: Any) -> None:
    """Be a peer, until the parent says that the run is over. ``saved`` is where a stopped run left off."""
    program = load(context.channel, "the program", role.program)
    own = pace(context)
    socks, go = context.gather()
    meter, segments = Meter(), SegmentPool()
    links = {node: wrap(sock, role.wire, segments, meter) for node, sock in socks.items()}
    clock = _Clock(go.origin, meter)
    transport = _Transport(context, program, clock, links, meter, own.rest)
    transport.resume(saved, go.gone)
    try:
        clock.run(transport.live(program))
    finally:
        for link in links.values():
            link.close()
        segments.close()


class _Clock(RealClock):
    """The wall clock since ``origin``, in seconds of the system's monotonic clock, which all processes share.

    What the loop sleeps is waiting, unless a job is to take longer than it did: ``rest``.
    """

    def __init__(self, origin: float, meter: Meter) -> None:
        self._selector = _Selector(meter)
        self.loop = asyncio.SelectorEventLoop(self._selector)
        self._start = origin

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call this whenever the loop has waited for some time, and nothing is due."""
        self._selector.idle = call

    def rest(self, seconds: float) -> None:
        """So many seconds from now on are the job's, not waiting."""
        self._selector.resting = time.perf_counter() + seconds


class _Selector(selectors.DefaultSelector):
    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter
        self.resting = 0.0
        """Until when sleeping is no waiting."""
        self.idle: Callable[[], None] | None = None

    def select(self, timeout: float | None = None) -> Any:
        started = time.perf_counter()
        try:
            events = super().select(IDLE if timeout is None else timeout)
            if not events and timeout is None:
                if self.idle is not None:
                    self.idle()
                events = super().select(None)
            return events
        finally:
            self._meter.waiting_s += max(0.0, time.perf_counter() - max(started, self.resting))


class _Here(Inline):
    """Runs jobs in this process, after what was posted is on its way."""

    def __init__(self, site: Site, before: Callable[[], None]) -> None:
        super().__init__(site)
        self._before = before

    def _run(self, ticket: Any) -> Result:
        self._before()
        return super()._run(ticket)


class _Transport:
    """The ``Transport`` of one peer: its messages go through links to its neighbours' processes."""

    def __init__(
        self,
        context: NodeContext,
        program: Any,
        clock: _Clock,
        links: dict[int, Channel],
        meter: Meter,
        pace: Callable[[int, int, Work, float], float],
    ) -> None:
        def rest(node: int, count: int, work: Work, seconds: float) -> float:
            left = pace(node, count, work, seconds)
            clock.rest(left)  # what a slower device still has to do
            return left

        self.session = Session(
            model=context.model,
            roster=context.roster,
            executor=_Here(context.site, self.flush),
            clock=clock,
            network=None,
            driver=lambda session: Wall(session, rest),
            seed=context.setup["seed"],
            policy=context.site.policy,
            options=Options(program=type(program).__qualname__),
            communicates=getattr(program, "communicates", True),
        )
        self.nodes = context.roster.nodes
        self.edges, self._clock = edges_for(program, context.roster), clock
        self._senders = senders_of(self.edges)
        self._context, self._me, self._links, self._meter = context, context.node, links, meter
        # What goes to the parent is no part of the algorithm: of that only the time is counted.
        context.channel.meter = self._own = Meter()
        self._kept: dict[tuple[int, int], Message] = {}
        """What was sent, by receiver and number, until the parent says that it was taken before a cut."""
        self._dropped: set[tuple[int, int, int]] = set()
        self.gone: set[int] = set()
        self._out, self._in = Counter[int](), Counter[int]()  # messages, by receiver and by sender
        self._failure: Exception | None = None
        self._failed: Failed
        self._work: asyncio.Task[Any] | None = None
        self._began = clock.now
        self._before = Books().costs
        self._ending: asyncio.Future[None] | None = None
        self.peer = Peer(self, self._me)

    def resume(self, saved: Any, gone: Iterable[int]) -> None:
        """Go on from a checkpoint's cut, or begin; without those that are lost."""
        self.gone.update(gone)
        if saved is None:
            return
        self.peer.books = Books.from_tree(saved["books"])
        self._before = self.peer.books.costs.copy()
        self._dropped = {tuple(x) for x in saved["dropped"]}
        for m in saved["messages"]:
            self.peer.receive(Message(**m))

    async def live(self, program: Any) -> None:
        """Run the program, then keep in touch until the parent ends the run."""
        loop = asyncio.get_running_loop()
        self._ending = loop.create_future()
        loop.add_reader(self._context.channel, self._hear)
        for node, link in self._links.items():
            loop.add_reader(link, self._readable, node)
        self._clock.when_idle(self._idle)
        work = self._work = loop.create_task(follow(program, self.peer))
        await asyncio.wait({work, self._ending}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            error = work.exception()
            if error is None:
                self._tell(messages.Done(self.peer.books.round))
            elif messages.innermost(error) is self._failure:  # the parent words it: it knows which commit is kept
                f = self._failed
                self._tell(messages.JobFailed((f.node, f.reason, f.log, f.nonfinite)))
            else:
                self._tell(messages.raised(error))
            await self._ending

    # -- the transport --------------------------------------------------------------------------------------------

    def senders(self, node: int) -> Sequence[int]:
        """Ids that send to a node, ascending."""
        return self._senders[node]

    def deliver(self, m: Message) -> None:
        """Send a message, or queue what the wire does not take at once."""
        if m.number in self._dropped:
            return
        if m.to not in self.edges[self._me] and m.to not in self._senders[self._me]:
            raise ProgramError(
                f"peer {self._me} cannot send to {m.to}: the processes of neighbours are connected, and its neighbours "
                f"are {list(self.edges[self._me])}. Give the program a topology with that edge"
            )
        self._kept[m.to, m.seq] = m
        self._out[m.to] += 1
        self._send(m.to, [m.tag, m.seq, m.sent, *self.gone], dict(m.parts))

    def failure(self, failed: Failed) -> Exception:
        """The error of a job."""
        error = diverged(self.session, failed) if failed.nonfinite else node_failed(self.session, failed)
        self._failure, self._failed = error, failed
        return error

    def committed(self, peer: Peer) -> None:
        """Send the books to the parent, with all that a resumed run needs of this peer.

        Always with the state's tensors, though only some commits are evaluated: when a process dies, what it had is in
        the parent's hands. They go through shared memory, at the price of one copy.
        """
        books = peer.books.copy()
        self.session.round = books.round
        now, before, costs = self._measured(books.time), self._before, books.costs
        new = now.costs()
        for name in ("compute_s", "wire_s", "serial_s", "waiting_s", "framing"):
            setattr(costs, name, getattr(before, name) + getattr(new, name))
        self._tell(messages.PeerCommitted(books.round, self.session.planned, now), books.as_tree())
        for node, link in list(self._links.items()):
            if link.unreturned >= RETURN:
                self._send(node, None)

    # -- links -------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what the links take now."""
        for node, link in list(self._links.items()):
            if link.pending:
                self._writable(node)

    def _readable(self, node: int) -> None:
        link = self._links[node]
        try:
            frames = link.poll()
        except Closed:
            self._forget(node)
            return
        for message, parts, _ in frames:
            if message is None:
                continue  # it only gave memory back
            tag, seq, sent, *gone = message
            for lost in gone:
                self._lose(lost)
            self._in[node] += 1
            self.peer.receive(Message(node, self._me, tag, seq, parts, sent, self.session.clock.now))

    def _writable(self, node: int) -> None:
        link = self._links[node]
        try:
            if link.flush():
                asyncio.get_running_loop().remove_writer(link)
        except Closed:
            self._finish(node)

    def _send(self, node: int, plain: Any, parts: Any = None) -> None:
        link = self._links.get(node)
        if link is None:  # it is gone, as the parent knows
            return
        try:
            link.send(plain, parts, wait=False, fixed=True)
            if link.pending:
                asyncio.get_running_loop().add_writer(link, self._writable, node)
        except Closed:
            self._finish(node)

    def _forget(self, node: int) -> None:
        """A neighbour's process is gone. The parent knows, and it is the parent who decides what follows."""
        link = self._links.pop(node, None)
        if link is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(link)
            loop.remove_writer(link)
            link.close()

    def _finish(self, node: int) -> None:
        """Nothing can be sent to a neighbour any more: take in what it had sent, and forget it."""
        link = self._links.get(node)
        if link is not None:
            there = select.poll()
            there.register(link, select.POLLIN)
            while node in self._links and there.poll(1000 * TRAIL):
                self._readable(node)
        self._forget(node)

    def _lose(self, node: int) -> None:
        """A node is lost and the run goes on, says the parent, or a neighbour who has heard so before this peer."""
        if node in self.gone:
            return
        self._finish(node)
        self.gone.add(node)
        for to, seq in [key for key in self._kept if key[0] == node]:
            del self._kept[to, seq]
        self.peer.lost()

    # -- the parent --------------------------------------------------------------------------------------------

    def _measured(self, when: float) -> Meter:
        """The meter up to a commit at that time, which was just made: what the process does afterwards is not on its
        account. What is neither waiting nor moving data is computing: jobs, sums, the program itself.
        """
        now = self._meter.copy()
        now.serial_s += self._own.serial_s + self._own.wire_s
        spent = now.serial_s + now.wire_s + now.waiting_s
        now.compute_s = max(0.0, when - self._began - spent)
        return now

    def _idle(self) -> None:
        # A program that has given work to threads waits for these as well, and nobody else would know.
        if getattr(self._clock.loop, "_default_executor", None) is None:
            self._tell(self._waiting(asked=False))

    def _waiting(self, asked: bool) -> messages.Waiting:
        place = None if self._work is None or self._work.done() else where(self._work)
        sent, received = (sum(n for node, n in c.items() if node not in self.gone) for c in (self._out, self._in))
        return messages.Waiting(asked, sent, received, place, len(self.gone))

    def _tell(self, message: messages.Message, tree: Any = None) -> None:
        self._context.tell(message, tree, wait=False)
        if self._context.channel.pending:
            asyncio.get_running_loop().add_writer(self._context.channel, self._go_on_telling)

    def _go_on_telling(self) -> None:
        with contextlib.suppress(Closed):  # the reader finds out
            if not self._context.channel.flush():
                return
        asyncio.get_running_loop().remove_writer(self._context.channel)

    def _hear(self) -> None:
        assert self._ending is not None
        try:
            heard = self._context.hear_one()  # one only: after the end comes what is not for this run
        except (Ended, Closed):
            asyncio.get_running_loop().remove_reader(self._context.channel)
            settle(self._ending)
            return
        if heard is None:
            return
        message, _ = heard
        match message:
            case messages.Settled():
                taken = set(message.taken)
                self.peer.books.taken = [x for x in self.peer.books.taken if x not in taken]
                for number in message.sent:
                    self._kept.pop(number, None)
            case messages.Crossing():
                found = [self._kept[number] for number in message.numbers]
                self._tell(messages.Crossing(), [vars(m) | {"parts": dict(m.parts)} for m in found])
            case messages.StillWaiting():
                self._tell(self._waiting(asked=True))
            case messages.Gone():
                self._lose(message.node)
