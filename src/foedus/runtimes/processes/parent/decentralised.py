"""The parent's side of a decentralised program whose peers are processes: it keeps the books, and carries no message.

Every peer sends its books when it commits. When all have sent those of their t-th commit, that cut becomes the run's
commit t, as it does where all peers are in one process; peers do not wait for it. For every cut the parent knows by
numbers which messages cross it, and asks their senders for them, so that a run can go on from any of its commits.

When a peer is lost and the run goes on, all others are told; each hears of it when it does, so that what the lost one
sent last may have reached some and not others. Whoever knows says so with all that it sends, so that nobody has a
message of a neighbour that knows and does not know itself. Commits that the lost one had made count; in later ones it
has no weight.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from foedus.core.coordination.cut import Number, commit_cut, consumed, mean_model, sent_before, without
from foedus.core.coordination.endings import diverged, node_failed
from foedus.core.coordination.peer import Books, Message, edges_for, senders_of
from foedus.core.coordination.session import Session
from foedus.core.errors import BadInput, Deadlock
from foedus.core.interrupts import held_back
from foedus.core.types.state import State
from foedus.core.types.update import Failed
from foedus.runtimes.launch import pickled_program
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.parent.conversation import Conversation, Lost, lost_error, raised_error
from foedus.runtimes.processes.parent.process_group import ProcessGroup
from foedus.runtimes.processes.wire import messages
from foedus.topologies import Graph

log = logging.getLogger("foedus")

GRACE = 2.0
"""Seconds that a run which has failed waits for others to make a commit that those that failed have made."""


async def drive(
    program: Any,
    session: Session,
    group: ProcessGroup,
    wire: str,
    goes_on: bool = False,
    meters: dict[int, Meter] | None = None,
) -> Tensor:
    """Run a decentralised program in the group's processes; the mean of the nodes' models at the last common commit.

    ``wire``     between neighbours: ``"shared"`` memory or TCP ``"sockets"``.
    ``goes_on``  among the others when a process is lost; else that ends the run.
    ``meters``   is given what each node's process has measured until its last commit that counts.

    A program that can go on without nodes has ``check_lost(nodes)``: it is called once before the peers start, and
    raises ``BadInput`` where it cannot. What stands for a lost neighbour's message it says in ``Peer.exchange``.

    Errors: ``BadInput`` for a program that is to go on and has no ``check_lost``, and for one that cannot be sent;
    ``NodeFailed`` when a process is lost (if it goes on: the last one) or its job or program raises; as
    ``core.coordination.transport.run_peers`` else.
    """
    if goes_on and not hasattr(program, "check_lost"):
        raise BadInput(
            f'lost="skip" is not for {getattr(program, "__name__", type(program).__name__)}: its peers wait for '
            "their neighbours, and it does not say what their weights become without one of them (it has no "
            'check_lost). Use lost="abort", or a program that goes on: Gossip, PushSum without absences, ...'
        )
    if hasattr(program, "prepare"):
        log.info("%s", program.prepare(session.roster.nodes))
    if goes_on:
        program.check_lost(session.roster.nodes)
    run = _Run(program, session, group, wire, {} if meters is None else meters, goes_on)
    try:
        await run.begin()
        await run.cuts()
    finally:
        run.close()
    return session.outcome("peer.commit")


class _Run:
    """The books of a decentralised run: who has committed what, and which messages cross the last cut."""

    def __init__(
        self, program: Any, session: Session, group: ProcessGroup, wire: str, meters: dict[int, Meter], goes_on: bool
    ) -> None:
        self.session, self.group, self.wire, self.meters, self.goes_on = session, group, wire, meters, goes_on
        self.program = pickled_program(program)
        self.nodes = session.roster.nodes
        self.edges = edges_for(program, session.roster)
        self._senders = senders_of(self.edges)
        self._loop = asyncio.get_running_loop()
        self._error: Callable[[], BaseException] | None = None
        self._failed: set[int] = set()
        self._until = 0.0
        self._going = False
        self._pieces: list[list[int]] = []
        self._done: set[int] = set()
        self._made: dict[int, dict[int, tuple[Books, Meter]]] = {}
        self._answers: list[Message] = []
        self._unanswered: set[int] = set()
        self._said: dict[int, messages.Waiting] = {}
        """What each peer said when it began to wait."""
        self._still: dict[int, messages.Waiting] = {}
        """What each said when it was asked after that."""
        self._asked: tuple[int, int] | None = None
        self._new = False
        self._last: list[Books] | None = None
        """The peers' books at the last cut that this run has made."""
        self._began = session.clock.now
        saved = self._saved = session.carried.peers or {"books": [], "messages": [], "dropped": []}
        self.gone: set[int] = set(saved.get("gone", ()))
        """Without whom the run goes on: who was lost in it, or in the one that it goes on from."""
        self.talk = Conversation(group, self._loop, gone=dict.fromkeys(self.gone, "was lost before"))
        # Where the last cut left off: how much was sent, what crosses it, and what is to be dropped if sent again.
        self._sent = [dict(b["sent"]) for b in saved["books"]] or [{} for _ in range(self.nodes)]
        self._crossing: dict[Number, Message] = {m.number: m for m in (Message(**m) for m in saved["messages"])}
        self._dropped: set[Number] = {tuple(x) for x in saved["dropped"]}

    @property
    def left(self) -> list[int]:
        """Whose commits count."""
        return [n for n in range(self.nodes) if n not in self.gone]

    # -- beginning and end -------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Send the program to all, connect them with their neighbours, and have them go when all are ready."""
        self.talk.open()
        for node in self.talk.left:
            self.talk.say(node, messages.BePeer(self.wire, self.program), self._saved_of(node))
        while not self.talk.gathered(lambda node, left: {*self.edges[node], *self._senders[node]} & {*left}, self.wire):
            await self._one()
        self._going, self._began = True, self.session.clock.now
        self.talk.go(time.monotonic() - self._began)

    def _saved_of(self, node: int) -> Any:
        saved = self._saved
        if not saved["books"]:
            return None
        return {
            "books": saved["books"][node],
            "messages": [m for m in saved["messages"] if m["to"] == node],
            "dropped": [x for x in saved["dropped"] if x[0] == node],
        }

    def close(self) -> None:
        """Tell all that it is over. The last commit gets its model, if it has only numbers so far."""
        self.talk.close()
        s = self.session
        if self._last is not None and s.state is not None and "w" not in s.state:
            s.complete(State(w=mean_model(self._last)))

    # -- cuts --------------------------------------------------------------------------------------------------

    async def cuts(self) -> None:
        """Make the run's commits, one after the other, until all peers are done or a stop rule says so."""
        s = self.session
        while not s.stopped:
            t = s.round + 1
            while not self._complete(t):
                if self._done and self._done.issuperset(self.left):
                    return
                await self._one()
            found = self._made.pop(t)
            cut = [found[n][0] if n in found else without(self._books(n)) for n in range(self.nodes)]
            taken = consumed(cut)
            # What a lost peer has sent since its last commit is not sent again, and nothing comes to it any more.
            orphans = {k for k in taken | self._dropped if not sent_before(k, cut) and self.gone.isdisjoint(k[:2])}
            crossing = await self._ask_for(self._across(cut) - taken - self._dropped)
            with held_back():  # the last cut here is that of the run's last commit, also when the run ends
                self._commit(cut, crossing, orphans)
                self.meters.update((n, meter) for n, (_, meter) in found.items())
                self._crossing, self._dropped, self._last = crossing, orphans, cut
            self._sent = [b.sent for b in cut]
            self._settle(taken - orphans)

    def _complete(self, t: int) -> bool:
        """Whether all who are left have made their commit t."""
        made = self._made.get(t, {})
        return bool(made) and made.keys() >= set(self.left)

    def _books(self, node: int) -> Books:
        """A peer's books at the last cut."""
        if self._last is not None:
            return self._last[node]
        return Books.from_tree(self._saved["books"][node]) if self._saved["books"] else Books()

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
        missing: dict[int, list[tuple[int, int]]] = {}
        for frm, to, seq in sorted(numbers - set(self._crossing)):
            if frm not in self.gone and to not in self.gone:
                missing.setdefault(frm, []).append((to, seq))
        self._answers, self._unanswered = [], set(missing)
        for frm, wanted in missing.items():
            self.talk.say(frm, messages.Crossing(wanted))
        while self._unanswered:
            await self._one()
        found = self._crossing | {m.number: m for m in self._answers}
        return {k: found[k] for k in sorted(numbers) if k in found and k[1] not in self.gone}

    def _commit(self, cut: list[Books], crossing: dict[Number, Message], orphans: set[Number]) -> None:
        s, t = self.session, self.session.round + 1
        # The clock of the run is the peers': they went on while this process computed.
        s.has_run(max(b.time for b in cut) - self._began)
        o = s.options
        due = t == s.planned or t % o.evaluate_every == 0 or (o.evaluate_nodes and t % o.evaluate_nodes == 0)
        kept = o.folder is not None and t % o.checkpoint_every == 0
        # A stop rule may end the run at any commit, and the last is always evaluated.
        commit_cut(s, cut, crossing.values(), orphans, whole=bool(due or kept or o.stop), gone=self.gone)

    def _settle(self, done: set[Number]) -> None:
        """Tell peers which messages nobody will ask for any more."""
        news = [messages.Settled([], []) for _ in range(self.nodes)]
        for frm, to, seq in done:
            news[to].taken.append((frm, seq))
            news[frm].sent.append((to, seq))
        for node in self.talk.left:
            if news[node].taken or news[node].sent or self.group.channels[node].unreturned:
                self.talk.say(node, news[node])

    # -- what is heard -----------------------------------------------------------------------------------------

    async def _one(self) -> None:
        """Take what is heard next. Errors: what ends the run."""
        left = None
        if self._error is not None:
            # Those that failed may have made the next commit, which only others have not: these may be about to.
            ahead = self._failed <= self._made.get(self.session.round + 1, {}).keys()
            left = self._until - self._loop.time() if ahead else 0.0
        try:
            node, message, tree = await self.talk.next(left)
        except TimeoutError:
            assert self._error is not None
            raise self._error() from None
        s = self.session
        match message:
            case messages.PeerCommitted():
                if message.planned is not None:
                    s.planned = message.planned
                self._made.setdefault(message.commit, {})[node] = Books.from_tree(tree), message.meter
            case messages.Waiting():
                self._waits(node, message)
            case messages.Crossing():
                self._answers += [Message(**m) for m in tree]
                self._unanswered.discard(node)
            case messages.Done():
                self._done.add(node)
            case messages.JobFailed():
                failed = Failed(*message.failed)
                self._fail(node, lambda: diverged(s, failed) if failed.nonfinite else node_failed(s, failed))
            case messages.Raised() as raised:
                self._fail(node, lambda: raised_error(s, node, raised))
            case Lost():
                self._lost(node, message.how)

    def _waits(self, node: int, message: messages.Waiting) -> None:
        """A peer waits for a message. When all do and none is under way, none ever will be (Mattern 1987): as many were
        received, by what all said first, as were sent, by what all say when asked after that.
        """
        if message.gone != len(self.gone):
            return  # it counts messages of somebody who is lost, as it has yet to hear; then it says anew
        if message.asked:
            self._still[node] = message
        else:
            self._said[node], self._new = message, True
        left = self.left
        if self._asked is not None and len(self._still) == len(left):
            (_, received), (sent, _), self._asked = self._asked, _traffic(self._still), None
            if received == sent and not self._done.issuperset(left):
                self._fail(node, self._deadlock)
                return
        if self._asked is None and self._new and len(self._said) == len(left):
            self._asked, self._still, self._new = _traffic(self._said), {}, False
            self.talk.say_all(messages.StillWaiting())

    def _deadlock(self) -> Deadlock:
        places = sorted({said.place for said in self._still.values() if said.place})
        return Deadlock(
            "every peer waits for a message and none is under way: a deadlock. Waiting at: "
            + ("; ".join(places[:8]) or "nowhere known")
        )

    def _fail(self, node: int, error: Callable[[], BaseException]) -> None:
        """The run ends with this error, made when all commits that can be made have been: it says which is kept."""
        if self._error is None:
            self._error, self._until = error, self._loop.time() + GRACE
        self._failed.add(node)

    def _lost(self, node: int, how: str) -> None:
        if self.goes_on:
            self._go_on_without(node)
            if self.left:
                return
        aside = ", and no other node is left" if self.goes_on else ""
        self._fail(node, lambda: lost_error(self.session, node, how, aside))

    def _go_on_without(self, node: int) -> None:
        self.gone.add(node)
        self._unanswered.discard(node)
        self._said, self._still, self._asked = {}, {}, None
        if self._going:
            self.talk.say_all(messages.Gone(node))
        pieces = [p for p in Graph(self.edges).without(frozenset(self.gone)).pieces() if p[0] not in self.gone]
        if len(pieces) > 1 and pieces != self._pieces:
            self._pieces = pieces
            log.warning("the nodes that are left cannot all reach each other, and will not agree: %s", pieces)


def _traffic(said: dict[int, messages.Waiting]) -> tuple[int, int]:
    return sum(w.sent for w in said.values()), sum(w.received for w in said.values())
