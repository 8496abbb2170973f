"""The parent's side of a run: its talk with all nodes over their control channels.

It is the same wherever the program runs. Every node is given a role; when all are ready they are connected with whom
they need, anew when one is lost meanwhile, and told to go. After that a node says what its role says, or is lost.
``wire/messages.py`` has all messages on one page.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from foedus.core.coordination.endings import kept
from foedus.core.coordination.session import Session
from foedus.core.errors import BadInput, Diverged, FoedusError, NobodyInTime, NodeFailed, ProgramError
from foedus.core.interrupts import unbroken
from foedus.runtimes.channel import Closed
from foedus.runtimes.launch import refused
from foedus.runtimes.processes.parent.process_group import ProcessGroup
from foedus.runtimes.processes.wire import messages
from foedus.runtimes.processes.wire.pair import connected_pair

log = logging.getLogger("foedus")

KNOWN: dict[str, type[FoedusError]] = {
    e.__name__: e for e in (BadInput, Diverged, NobodyInTime, NodeFailed, ProgramError)
}
"""Errors of a program at a node that the parent raises as they are."""

Edges = Callable[[int, list[int]], Collection[int]]
"""To whom a node is connected, of those that are left."""


class Lost(NamedTuple):
    """A node's process has ended, or hung and was ended; ``how`` ends a sentence: ``was killed by SIGKILL``."""

    how: str


class Heard(NamedTuple):
    """What was heard of a node: a message with its tree, or that it is lost."""

    node: int
    message: messages.Message | Lost
    tree: Any = None


class Conversation:
    """The parent's end of the talk with all nodes of one run, in a loop, from ``open`` to ``close``.

    What is heard goes to ``hear``, if that is given; else it is waited for by ``next``. Last words of a lost node come
    before its loss. ``gone`` are nodes that were lost before.
    """

    def __init__(
        self,
        group: ProcessGroup,
        loop: asyncio.AbstractEventLoop,
        hear: Callable[[Heard], None] | None = None,
        gone: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        # Nodes of an earlier run with the same group may still have had something to say.
        self.run = time.monotonic_ns()
        self.gone = dict(gone)
        """Who is lost, and how."""
        self.refusal: BadInput | None = None
        """A node could not load something that it was sent."""
        self._group, self._loop = group, loop
        self._queue: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._hear = self._queue.put_nowait if hear is None else hear
        self._ready: set[int] = set()

    @property
    def left(self) -> list[int]:
        """Who is not lost."""
        return [n for n in range(self._group.nodes) if n not in self.gone]

    def open(self) -> None:
        """Hear what nodes say, and when one is lost, from now on."""
        for node in self.left:
            self._loop.add_reader(self._group.channels[node], self.listen, node)
        self._group.watch(self._loop, self.lost)
        self._group.stray = self._strayed

    def _strayed(self, node: int, plain: dict[str, Any], tree: Any) -> None:
        # What came while a node was asked something beside the program is taken in its turn.
        self._loop.call_soon(self._take, node, plain, tree)

    def close(self) -> None:
        """Tell all that are left that the run is over."""
        self._group.unwatch()
        for node in self.left:
            channel = self._group.channels[node]
            self._loop.remove_reader(channel)
            with contextlib.suppress(Closed):
                channel.send(messages.End(), wait=False)

    # -- saying ------------------------------------------------------------------------------------------------

    @unbroken()
    def say(self, node: int, message: messages.Message, tree: Any = None, sock: socket.socket | None = None) -> None:
        """Send one node a message, unless it is lost; with a socket, which becomes the node's."""
        if node in self.gone:
            return
        message.run = self.run
        try:
            self._group.channels[node].send(message, tree, sock=sock)
        except Closed:
            self.lost(node, self._group.ended(node))

    def say_all(self, message: messages.Message) -> None:
        """Send it to all that are left."""
        for node in self.left:
            self.say(node, message)

    def gathered(self, edges: Edges, wire: str) -> bool:
        """Whether all that are left are ready to go, and connected with each other, which they are as soon as they are.

        Errors: ``WorkerError`` if the system allows no more connections.
        """
        members = self.left
        if not self._ready.issuperset(members):
            return False
        for node in members:
            for other in edges(node, members):
                if node < other:
                    one, another = connected_pair(wire)
                    with one, another:
                        self.say(node, messages.Connection(other), sock=one)
                        self.say(other, messages.Connection(node), sock=another)
        if self.left != members:  # what is heard next is who was lost
            self.say_all(messages.Disconnect())
        return self.left == members

    def go(self, origin: float, store: str = "") -> None:
        """Tell all that are left that they may go, and who takes part."""
        self._ready.clear()
        self.say_all(messages.Go(origin, self.left, dict(self.gone), store))

    # -- hearing -----------------------------------------------------------------------------------------------

    async def next(self, timeout: float | None = None) -> Heard:
        """What is heard next. Errors: ``TimeoutError``, and ``BadInput`` if a node could not load something."""
        if self._queue.empty():
            heard = await asyncio.wait_for(self._queue.get(), timeout)
        else:
            heard = self._queue.get_nowait()
        if heard is None:
            assert self.refusal is not None
            raise self.refusal
        return heard

    @unbroken()
    def listen(self, node: int) -> None:
        """Take what a node has said by now."""
        try:
            for message, tree, _ in self._group.channels[node].poll():
                self._take(node, message, tree)
        except Closed:
            self.lost(node, self._group.ended(node))

    def _take(self, node: int, plain: dict[str, Any], tree: Any) -> None:
        if "cannot" in plain:
            self.refusal = refused(plain)
            self._queue.put_nowait(None)
        elif plain.get("run") == self.run:
            message = messages.read(plain)
            if isinstance(message, messages.Ready):
                self._ready.add(node)
            self._hear(Heard(node, message, tree))

    @unbroken()
    def lost(self, node: int, how: str) -> None:
        """A node is lost."""
        if node in self.gone:
            return
        self.gone[node] = how
        channel = self._group.channels[node]
        self._loop.remove_reader(channel)
        with contextlib.suppress(Closed):  # its last words
            for message, tree, _ in channel.poll():
                self._take(node, message, tree)
        if self.refusal is None:
            log.warning("node %d is lost: its process %s", node, how)
        self._hear(Heard(node, Lost(how)))


def lost_error(s: Session, node: int, how: str, aside: str = "", hint: str = "") -> NodeFailed:
    """The error for a lost node without which the run does not go on."""
    return NodeFailed(f"node {node}'s process {how} in round {s.round + 1}{aside}; {kept(s)}{hint}")


def raised_error(s: Session, node: int, raised: messages.Raised) -> FoedusError:
    """The error for one that the program raised at a node."""
    known = KNOWN.get(raised.kind)
    error = NodeFailed("") if known is None else known(raised.text)
    if known is None:
        error.args = (
            f"the program failed at node {node} in round {s.round + 1}: {raised.kind}: {raised.text}; {kept(s)}",
        )
    if isinstance(error, NodeFailed):
        error.log = raised.log
    return error
