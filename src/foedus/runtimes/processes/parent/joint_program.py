"""The parent's side of a program that all nodes run together: it keeps the books, and decides who goes on.

The nodes join their answers among themselves. When a commit is due to be evaluated or written, each tells what it has
measured, and the lowest of them what it has committed, with all commits since the last. When a node is lost, the
others notice in their next call. Then the run ends, with the last commit of whoever was furthest; or those that are
left are connected anew, and go on from that commit.

What nodes remember stays with them, but for commits that are written or evaluated with it. A run that ends between two
of these, and whose nodes remember something, ends at the last of them.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import tempfile
import time
from typing import Any

from torch import Tensor

from foedus.core.coordination.session import Session
from foedus.core.errors import WorkerError
from foedus.core.interrupts import held_back
from foedus.core.records.checkpoint import Checkpoint
from foedus.core.types.suspicion import Suspicion
from foedus.core.types.trees import owned
from foedus.runtimes.launch import pickled_program
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.collective import edges
from foedus.runtimes.processes.parent.conversation import Conversation, Heard, Lost, lost_error, raised_error
from foedus.runtimes.processes.parent.process_group import ProcessGroup
from foedus.runtimes.processes.wire import messages
from foedus.runtimes.processes.wire.rhythm import Rhythm

PATIENCE = 5.0
"""Seconds given to what should follow at once: the others' notice of a loss, and the loss behind a broken exchange."""


async def drive(program: Any, session: Session, group: ProcessGroup, exchange: str, wire: str, goes_on: bool) -> Tensor:
    """Run a program at all nodes together; the model of the last commit.

    Errors: ``BadInput`` for a program that cannot be sent or that the exchange does not fit; ``NodeFailed`` when a
    process is lost and the run does not go on without; and what the program raises.
    """
    run = _Run(pickled_program(program), session, group, exchange, wire, goes_on)
    try:
        await run.whole()
    except BaseException:
        run.back_to_what_is_known()
        raise
    finally:
        run.close()
    return session.outcome("fed.commit")


class _Run:
    """The books of a joint run, and who takes part in it."""

    def __init__(
        self, program: bytes, session: Session, group: ProcessGroup, exchange: str, wire: str, goes_on: bool
    ) -> None:
        self.session, self.exchange, self.wire, self.goes_on = session, exchange, wire, goes_on
        self._talk = Conversation(group, asyncio.get_running_loop())
        o = session.options
        written = o.checkpoint_every if o.folder is not None else 0
        rhythm = Rhythm(o.evaluate_every, o.evaluate_nodes, written, bool(o.stop))
        self._role = messages.Join(wire, program, exchange, o.per_node, not group.oversubscribed, rhythm)
        self._saved = None if session.state is None else session.checkpoint().tree
        self._kept: Checkpoint | None = None
        """The last commit of which it is known what nodes remember, if that is not the session's."""
        self._place = ""
        """A folder in which gloo's processes meet."""
        self._measured: list[dict[int, Meter]] = [{} for _ in range(group.nodes)]
        """By node and commit, what it has measured since the run began."""
        self._began: float | None = None
        """When the run's time was 0."""
        self._over = False
        self._reset()

    def _reset(self) -> None:
        self._members = self._talk.left
        """Who takes part since all began, or began anew."""
        self._ended: dict[int, int] = {}
        """By member whose exchange broke, or whose program ended: its last commit."""
        self._done: set[int] = set()
        self._losing = False
        """Whether a member is lost, and the others are to notice."""
        self._held: set[int] = set()
        """Members that wait for the parent's word."""
        self._told: dict[int, dict[int, Any]] = {}
        """By commit, what each member that has told of it remembers, if that was asked for."""
        self._books: dict[int, tuple[messages.Committed, Any]] = {}

    def close(self) -> None:
        """The processes are the group's to end."""
        self._talk.close()
        self._leave()

    def _leave(self) -> None:
        shutil.rmtree(self._place, ignore_errors=True)
        self._place = ""

    # -- beginning, and beginning anew -------------------------------------------------------------------------

    async def whole(self) -> None:
        """Run to the end of the program."""
        self._talk.open()
        for node in self._talk.left:
            saved = self._saved
            if saved is not None:  # of what nodes remember, each is given its own
                states = saved["node_states"]
                saved = {**saved, "node_states": {node: states[node]} if node in states else {}}
            self._talk.say(node, self._role, saved)
        await self._begin()
        while not self._over and len(self._done) < len(self._members):
            node, message, tree = await self._talk.next()
            self._take(node, message, tree)
            if isinstance(message, messages.Broke) and not self._lost_members():
                await self._why(message.why)
            elif isinstance(message, Lost):
                await self._without(node)

    async def _begin(self) -> None:
        """Have all that are left run the program, from where they were told to."""
        while not (self._talk.gathered(self._edges, self.wire) and self._talk.left):
            node, message, _ = await self._talk.next()
            if isinstance(message, Lost):
                self._end_if_it_must(node)
        self._reset()
        self._leave()
        if self.exchange == "gloo":
            self._place = tempfile.mkdtemp(prefix="foedus-")
        if self._began is None:
            self._began = time.monotonic() - (0.0 if self._saved is None else self._saved["now"])
        self._talk.go(self._began, os.path.join(self._place, "meeting") if self._place else "")

    def _edges(self, node: int, left: list[int]) -> set[int]:
        return {left[place] for place in edges(self.exchange, left.index(node), len(left))}

    # -- what is heard -----------------------------------------------------------------------------------------

    def _take(self, node: int, message: Any, tree: Any) -> None:
        """Take note of what was heard. Errors: those that end the run."""
        match message:
            case messages.Committed():
                self._committed(node, message, owned(tree))
            case messages.Done():
                self._done.add(node)
                self._ended[node] = message.commit
            case messages.Broke():
                self._ended[node] = message.commit
            case messages.Raised(account=account):
                if account is not None:
                    self._note(node, account)
                    self._end_with(account, tree)
                self.back_to_what_is_known()
                raise raised_error(self.session, node, message)

    def _lost_members(self) -> list[int]:
        return [n for n in self._members if n in self._talk.gone]

    async def _why(self, broken: str) -> None:
        """An exchange broke, and nobody is known to be lost: that is soon known, or something else was wrong."""
        until = time.monotonic() + PATIENCE
        while not self._lost_members():
            try:
                self._take(*await self._talk.next(max(0.0, until - time.monotonic())))
            except TimeoutError:
                message = f"the nodes' exchange broke in round {self.session.round + 1}: {broken}"
                raise WorkerError(message) from None
        await self._without(self._lost_members()[0])

    # -- commits -----------------------------------------------------------------------------------------------

    def _committed(self, node: int, message: messages.Committed, tree: Any) -> None:
        self._note(node, message.account)
        t = message.commit
        told = self._told.setdefault(t, {})
        told[node] = tree["own"]
        if message.waits:
            self._held.add(node)
        if "books" in tree:
            self._books[t] = message, tree["books"]
        if t in self._books and told.keys() >= set(self._members):
            first, books = self._books.pop(t)
            with held_back():  # what nodes remember is of the last of these commits, and none before may be written
                if first.kept:
                    self.session.node_states.update({n: own for n, own in self._told.pop(t).items() if own})
                elif self._kept is None and self._remembers(first.account):
                    self._kept = self.session.checkpoint()
                self._commit(first.account, books)
                if first.kept:
                    self._kept = None
            self._go_on()
        elif self._losing:
            self._go_on()

    def _note(self, node: int, account: messages.Account) -> None:
        if account.planned is not None:
            self.session.planned = account.planned
        self._measured[node].update(account.measured)

    def _commit(self, account: messages.Account, books: Any) -> None:
        """Make the run's commits up to this one."""
        s = self.session
        notes = [n for n in account.notes if n["round"] > s.round]
        for note in notes:
            last = note is notes[-1]
            s.follow(books, note["elapsed"])
            s.ledger.restore(note["ledger"])
            for node, measured in enumerate(self._measured):
                known = [t for t in measured if t <= note["round"]]
                if known:
                    s.ledger.charge(node, measured[max(known)].costs())
            s.used, s._losses = note["used"], [(x, w) for x, w in note["losses"]]
            for node, left_out, distance in note["suspects"]:  # JSON has no infinity
                s.note_suspects({node: Suspicion(left_out, math.inf if distance is None else distance)})
            s.commit(books["state"], note["metrics"], note["extra"], at_nodes=books["at_nodes"] if last else None)
        for measured in self._measured:
            for t in sorted(measured)[:-2]:
                del measured[t]

    def _end_with(self, account: messages.Account, tree: Any) -> None:
        """Make the commits that one member has made and not all have told of, before the run ends.

        If nodes remember something, what those do that have not told is not known.
        """
        if not self._remembers(account):
            self._commit(account, owned(tree["books"]))

    def _remembers(self, account: messages.Account) -> bool:
        return bool(account.remembers or self.session.node_states)

    def back_to_what_is_known(self) -> None:
        """The run ends: what nodes remember has to be that of its last commit."""
        if self._kept is not None:
            self.session.restore(self._kept)

    def _go_on(self) -> None:
        """Whoever waits for the parent's word is given it."""
        for node in sorted(self._held):
            self._talk.say(node, messages.Word(self.session.stopped))
        self._held.clear()

    # -- losses ------------------------------------------------------------------------------------------------

    async def _without(self, node: int) -> None:
        """A member is lost: end the run at the last commit of whoever is furthest, or go on from there."""
        if node not in self._members or len(self._done) == len(self._members):
            return
        # Whoever waits for something that the lost one keeps from coming goes on to where it breaks.
        self._losing = True
        self._go_on()
        while set(self._members) - self._talk.gone.keys() - self._ended.keys():
            # Those that still compute notice when they are done: until then there is nothing to do but wait.
            try:
                self._take(*await self._talk.next(None if self.goes_on else PATIENCE))
            except TimeoutError:
                break
        given = await self._furthest()
        if given is None:
            raise self._lost_error(node)
        giver, message, tree = given
        assert isinstance(message, messages.Given)
        account = message.account
        self._note(giver, account)
        if giver in self._done and (self.goes_on or not self._remembers(account)):
            # It was lost when all commits were made, if not at all nodes.
            self._commit(account, owned(tree["books"]))
            self._over = True
            return
        if not self.goes_on:
            self._end_with(account, tree)
        self._end_if_it_must(node)
        for other in self._talk.left:
            self._talk.say(other, messages.Again(self.session.round), tree["again"])
        await self._begin()

    def _end_if_it_must(self, node: int) -> None:
        """Errors: ``NodeFailed`` if the run does not go on without this node."""
        if not self.goes_on or not self._talk.left:
            raise self._lost_error(node)

    def _lost_error(self, node: int) -> Exception:
        self.back_to_what_is_known()
        hint = "no other is left" if self.goes_on else 'with lost "skip", Processes goes on without a node that is lost'
        return lost_error(self.session, node, self._talk.gone[node], hint=f"; {hint}")

    async def _furthest(self) -> Heard | None:
        """The books of the last commit that any of those that are left has made; None if nobody is left."""
        while there := [n for n in self._members if n not in self._talk.gone and n in self._ended]:
            giver = max(there, key=lambda n: (self._ended[n], n in self._done))
            self._talk.say(giver, messages.Give())
            while giver not in self._talk.gone:
                heard = await self._talk.next()
                if heard.node == giver and isinstance(heard.message, messages.Given):
                    return heard
                self._take(*heard)
        return None
