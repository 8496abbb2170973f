"""Connected sockets between node processes: Unix sockets, or TCP on this machine.

Every node listens, the parent tells the nodes where, the higher node connects to the lower, and both prove that they
know a secret that the parent made for this one time: whoever else on this machine connects is dropped. The parent keeps
the time, and all connect or none does, so that after a loss those who are left can be connected anew.

    parent              node
    invitation    ->
                  <-    here: it listens at this address
    at            ->    addresses of the lower nodes, the secret
                  <-    connected, or failed
    done, or off  ->    whether all are
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import math
import os
import secrets
import select
import selectors
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from foedus.core.errors import WorkerError
from foedus.runtimes.channel import Channel, Closed

WIRES = ("shared", "sockets")
_HELLO = struct.Struct("<I32s")
_PROOF = 32
_BACKLOG = 1024


class NotConnected(Exception):
    """In a node: the parent called it off, because somebody was lost or it took too long."""


class NotInTime(WorkerError):
    """In the parent: ``nodes`` did not take part in time. They compute, or are stopped or stuck."""

    def __init__(self, nodes: Collection[int], timeout: float) -> None:
        self.nodes = frozenset(nodes)
        names = ", ".join(map(str, sorted(nodes)))
        super().__init__(f"the processes of nodes {names} were not connected within {timeout:g} s")


# -- in the parent -------------------------------------------------------------------------------------------------

Other = Callable[[int, Any, Any], None]


@dataclass(frozen=True)
class Introduction:
    """The parent's part in one rendezvous of the nodes at these channels. ``number`` is another one each time.

    ``ended(node)`` is the error for one whose channel has ended; ``look()``, called every ``interval`` seconds, raises
    the error for one that hangs; ``other(node, message, tree)`` takes what else a node sends.
    """

    channels: Mapping[int, Channel]
    number: int
    ended: Callable[[int], Exception]
    look: Callable[[], None]
    interval: float
    other: Other | None = None

    def connect(self, edges: Callable[[int], Collection[int]], wire: str, arrive: float | None, within: float) -> None:
        """Connect the nodes with each other; ``ProcessGroup.rendezvous`` says more.

        All have to be there within ``arrive`` seconds (``None``: as long as none hangs), and to be connected
        ``within`` so many more.
        """
        wanted = {node: set(edges(node)) for node in self.channels}
        for node, others in wanted.items():
            for to in others:
                if to == node or node not in wanted.get(to, ()):
                    raise ValueError(f"node {node} is to be connected to {to}, but {to} not to {node}")
        if wire not in WIRES:
            raise ValueError(f"wire is {wire!r}, expected one of {', '.join(map(repr, WIRES))}")
        invited: list[int] = []
        with contextlib.ExitStack() as files:
            place = ""
            if wire == "shared" and not sys.platform.startswith("linux"):  # every socket has a name in the file system
                place = files.enter_context(tempfile.TemporaryDirectory(prefix="foedus-"))
            try:
                for node, others in wanted.items():
                    self._tell(node, {"node": node, "edges": sorted(others), "wire": wire, "place": place})
                    invited.append(node)
                addresses = self._all("here", arrive)
                token = secrets.token_bytes(32)
                for node, others in wanted.items():
                    self._tell(node, {"at": {to: addresses[to] for to in others if to < node}, "token": token})
                self._all("connected", within)
                end: dict[str, Any] = {"done": True}
            except BaseException as e:
                end = {"off": str(e)}
                raise
            finally:
                for node in invited:
                    with contextlib.suppress(Closed):  # lost since, which is no longer this function's to tell
                        self.channels[node].send({"rendezvous": self.number, **end})

    def _tell(self, node: int, message: dict[str, Any]) -> None:
        try:
            self.channels[node].send({"rendezvous": self.number, **message})
        except Closed:
            raise self.ended(node) from None

    def _all(self, what: str, timeout: float | None) -> dict[int, Any]:
        """This answer of every node."""
        waiting = {channel.fileno(): node for node, channel in self.channels.items()}
        poll = select.poll()
        for fd in waiting:
            poll.register(fd, select.POLLIN)
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        heard: dict[int, Any] = {}
        failed = ""
        while waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                if failed:
                    raise WorkerError(f"the processes of the nodes could not be connected: {failed}")
                raise NotInTime(waiting.values(), timeout or 0.0)
            events = poll.poll(1000 * min(left, self.interval))
            if not events and left > self.interval:
                self.look()
            for fd, _ in events:
                node = waiting[fd]
                message = self._receive(node)
                if what in message:
                    heard[node] = message[what]
                    del waiting[fd]
                    poll.unregister(fd)
                elif "failed" in message and not failed:
                    failed = f"node {node}: {message['failed']}"
                    # Most likely because the other process ended: then that is what has to be told.
                    deadline = min(deadline, time.monotonic() + 1.0)
        return heard

    def _receive(self, node: int) -> dict[str, Any]:
        try:
            message, tree, _ = self.channels[node].receive()
        except Closed:
            raise self.ended(node) from None
        if isinstance(message, dict) and "rendezvous" in message:
            # What belongs to an earlier time, which was called off, is no longer of interest.
            return message if message["rendezvous"] == self.number else {}
        if self.other is None:
            raise WorkerError(f"node {node} sent something else while it was to be connected")
        self.other(node, message, tree)
        return {}


# -- in a node -----------------------------------------------------------------------------------------------------


def connect(control: Channel, invitation: dict[str, Any] | None = None) -> dict[int, socket.socket]:
    """Blocking sockets to other nodes, those that the parent's ``ProcessGroup.rendezvous`` wants for this one.

    ``invitation`` is the parent's message with the key ``rendezvous``, if the caller has received it already. Errors:
    ``NotConnected`` if the parent calls it off, ``Closed`` if the parent is gone.
    """
    if invitation is None:
        invitation, _, _ = control.receive()
    if not isinstance(invitation, dict) or "edges" not in invitation:
        raise ValueError("expected an invitation to connect, and the parent sent something else")
    with _Meeting(control, invitation) as meeting:
        return meeting.meet()


class _Meeting:
    def __init__(self, control: Channel, invitation: dict[str, Any]) -> None:
        self._control = control
        self._number, self._me, self._wire = invitation["rendezvous"], invitation["node"], invitation["wire"]
        self._edges = set(invitation["edges"])
        self._token = b""
        self._connected: dict[int, socket.socket] = {}
        self._unproven: dict[socket.socket, tuple[int | None, bytes]] = {}
        """Whose they are is yet to be proved: the lower node that this one has connected to, or None for whoever has
        connected to this one, and what they have said so far."""
        self._selector = selectors.DefaultSelector()
        self._listener = _listen(self._wire, invitation["place"], self._me)
        self._told = False

    def __enter__(self) -> _Meeting:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._selector.close()
        self._listener.close()
        for sock in self._unproven:
            sock.close()
        if kind is not None:
            for sock in self._connected.values():
                sock.close()

    def meet(self) -> dict[int, socket.socket]:
        self._selector.register(self._control, selectors.EVENT_READ, self._hear_parent)
        self._say("here", self._listener.getsockname())
        done = False
        while not done:
            for key, _ in self._selector.select():
                done = bool(key.data(key.fileobj)) or done
            if self._token and not self._told and set(self._connected) == self._edges:
                self._say("connected", True)
        for sock in self._connected.values():
            sock.setblocking(True)
            if self._wire == "sockets":
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connected

    def _say(self, what: str, value: Any) -> None:
        self._told = what != "here"
        self._control.send({"rendezvous": self._number, what: value})

    def _fail(self, why: str) -> None:
        if not self._told:
            self._say("failed", why)  # and wait for what the parent decides

    def _hear_parent(self, _: object) -> bool:
        message, _, _ = self._control.receive()
        if "off" in message:
            raise NotConnected(message["off"])
        if "at" in message:
            self._token = message["token"]
            self._listener.setblocking(False)
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
            for node, address in message["at"].items():
                self._ask(node, address)
        return "done" in message

    def _ask(self, node: int, address: Any) -> None:
        sock = socket.socket(self._listener.family, socket.SOCK_STREAM)
        self._unproven[sock] = node, b""
        try:
            # It listens, so that this needs nobody's doing but the system's.
            sock.connect(tuple(address) if isinstance(address, list) else address)
            sock.sendall(_HELLO.pack(self._me, self._proof(self._me, b">", node)))
        except OSError as e:
            return self._fail(f"node {node} could not be reached ({e.strerror})")
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, self._hear)

    def _accept(self, _: object) -> None:
        with contextlib.suppress(
            OSError
        ):  # it has gone again, or there are too many of them: those who count come first
            sock, _ = self._listener.accept()
            sock.setblocking(False)
            self._unproven[sock] = None, b""
            self._selector.register(sock, selectors.EVENT_READ, self._hear)

    def _hear(self, sock: socket.socket) -> None:
        asked, said = self._unproven[sock]
        due = _HELLO.size if asked is None else _PROOF
        more = _read(sock, due - len(said))
        if more is None:
            return
        said += more
        self._unproven[sock] = asked, said
        if more and len(said) < due:
            return
        self._selector.unregister(sock)
        if asked is None:
            del self._unproven[sock]
            self._meet_stranger(sock, *_HELLO.unpack(said) if len(said) == due else (-1, b""))
        elif hmac.compare_digest(said, self._proof(asked, b"<", self._me)):
            del self._unproven[sock]
            self._connected[asked] = sock
        else:
            self._fail(f"node {asked} broke off")

    def _meet_stranger(self, sock: socket.socket, node: int, proof: bytes) -> None:
        expected = node in self._edges and node > self._me and node not in self._connected
        if expected and hmac.compare_digest(proof, self._proof(node, b">", self._me)):
            self._connected[node] = sock
            with contextlib.suppress(OSError):  # gone again: its process ended, as the parent will see
                sock.sendall(self._proof(self._me, b"<", node))
        else:
            sock.close()

    def _proof(self, of: int, way: bytes, to: int) -> bytes:
        # The secret itself is never sent, for it may be a stranger that listens where a lost node did.
        return hashlib.blake2b(b"%d%b%d" % (of, way, to), key=self._token, digest_size=_PROOF).digest()


def _read(sock: socket.socket, most: int) -> bytes | None:
    """Some bytes; none if there are no more, ``None`` if there are none yet."""
    try:
        return sock.recv(most)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _listen(wire: str, place: str, node: int) -> socket.socket:
    if wire == "sockets":
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        address: Any = ("127.0.0.1", 0)
    else:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # On Linux the system gives it a name of its own, outside the file system.
        address = os.path.join(place, str(node)) if place else ""
    try:
        sock.bind(address)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
