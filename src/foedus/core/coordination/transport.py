"""LocalTransport: all peers of a run in one process, and their messages, in the time of the session's clock."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from foedus.core.coordination.cut import Number, commit_cut, consumed, sent_before, without
from foedus.core.coordination.endings import diverged, node_failed
from foedus.core.coordination.mistakes import follow
from foedus.core.coordination.peer import Books, Message, Peer, edges_for, senders_of
from foedus.core.coordination.session import Session
from foedus.core.types.update import Failed

log = logging.getLogger("foedus")


class _Enough(Exception):
    """A stop rule ended the run."""


class LocalTransport:
    """The transport of all peers of a run, in one process."""

    def __init__(self, program: Any, session: Session) -> None:
        self.session = session
        self.nodes = session.roster.nodes
        self.edges = edges_for(program, session.roster)
        self._senders = senders_of(self.edges)
        self.peers = [Peer(self, n) for n in range(self.nodes)]
        self._under_way: list[Message] = []
        self._cuts: dict[int, dict[int, Books]] = {}
        self._dropped: set[Number] = set()
        self._there: set[Number] = set()
        """What had arrived by its receiver's last commit, in a run that is resumed."""
        self.gone: frozenset[int] = frozenset()  # nobody is lost here; a run that is resumed may have lost some before
        saved = session.carried.peers
        if saved:
            self._restore(saved)

    def senders(self, node: int) -> Sequence[int]:
        """Ids that send to a node, ascending."""
        return self._senders[node]

    def deliver(self, m: Message) -> None:
        """Put a message on its way, unless its receiver had consumed it before the run was stopped."""
        if m.number in self._dropped:
            return
        self._under_way.append(m)
        # What arrives at one instant comes by receiver, then by sender: an order that a resumed run finds again.
        priority = m.to + (m.frm + 1) / (self.nodes + 1)
        if m.number in self._there:
            priority -= 1
        self.session.clock.schedule(m.arrival, priority, lambda: self.peers[m.to].receive(m))

    def failure(self, failed: Failed) -> Exception:
        """The error that ends the run."""
        return diverged(self.session, failed) if failed.nonfinite else node_failed(self.session, failed)

    def committed(self, peer: Peer) -> None:
        """A peer made its commit; if it was the last to make this one, the run commits."""
        t = peer.books.round
        cut = self._cuts.setdefault(t, {})
        cut[peer.id] = peer.books.copy()
        if len(cut) < self.nodes - len(self.gone):
            return
        del self._cuts[t]
        self._commit([without(p.books) if p.id in self.gone else cut[p.id] for p in self.peers])

    def _commit(self, cut: list[Books]) -> None:
        taken = consumed(cut)
        # A message sent after its sender's cut will be sent again; one consumed before is remembered until it is.
        crossing = [m for m in self._under_way if sent_before(m.number, cut) and m.number not in taken]
        orphans = {k for k in taken | self._dropped if not sent_before(k, cut)}
        done = taken - orphans
        self._under_way = [m for m in self._under_way if m.number not in done]
        gone: list[set[tuple[int, int]]] = [set() for _ in cut]
        for frm, to, seq in done:
            gone[to].add((frm, seq))
        for to, settled in enumerate(gone):
            for books in [self.peers[to].books, *(c[to] for c in self._cuts.values() if to in c)]:
                books.taken = [x for x in books.taken if x not in settled]
        commit_cut(self.session, cut, crossing, orphans, gone=self.gone)
        if self.session.stopped:
            raise _Enough

    def _restore(self, saved: dict[str, Any]) -> None:
        for peer, b in zip(self.peers, saved["books"], strict=True):
            peer.books = Books.from_tree(b)
        self._dropped = {tuple(x) for x in saved["dropped"]}
        self.gone = frozenset(saved.get("gone", ()))
        self.session.clock.restart(min(p.books.time for p in self.peers if p.id not in self.gone))
        # What lay in an inbox at its peer's commit lies there before that peer goes on: also what arrived in the very
        # instant, and what is yet to be sent again.
        self._there = {(frm, p.id, seq) for p in self.peers for frm, seq in p.books.inbox}
        past = list[Message]()
        for m in (Message(**m) for m in saved["messages"]):
            if m.number in self._there and m.arrival < self.session.clock.now:
                past.append(m)
            else:
                self.deliver(m)
        self._under_way += past
        for m in sorted(past, key=lambda m: self.peers[m.to].books.inbox.index((m.frm, m.seq))):
            self.peers[m.to].receive(m)


async def run_peers(program: Any, session: Session) -> Tensor:
    """Run a decentralised program at every node; the mean of the nodes' models at the last common commit.

    A program may have ``prepare(nodes) -> str``: it is called once before the peers start, raises ``BadInput`` where
    the program does not fit so many nodes, and says in one line, which is logged, what graph they talk over.
    """
    if hasattr(program, "prepare"):
        log.info("%s", program.prepare(session.roster.nodes))
    hub = LocalTransport(program, session)

    async def one(peer: Peer) -> None:
        await session.until(peer.books.time, peer.id)
        await follow(program, peer)

    with contextlib.suppress(_Enough):
        await asyncio.gather(*(one(p) for p in hub.peers if p.id not in hub.gone))
    return session.outcome("peer.commit")
