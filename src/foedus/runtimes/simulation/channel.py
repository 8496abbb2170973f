"""A channel between parent and worker: small messages over a Unix socket, tensors through shared memory.

A message is a tree. Its tensors are written into a segment of the sender's, and read in place by the receiver; when
the receiver holds none of them any more, it says so with its next message, and the segment is used again.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgspec
import torch

from foedus.core.trees import flatten, unflatten
from foedus.runtimes.simulation.segments import Segment, SegmentPool, Spec, room, write

_LONG = 1 << 15
"""Longer messages go through shared memory, for two sides that both fill a socket's buffer would wait for ever."""

_HEADER = struct.Struct("<IB")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Closed(Exception):
    """The other side is gone."""


class Placed:
    """Tensors in a segment that several channels can refer to. Used again when nobody refers to it."""

    def __init__(self, pool: SegmentPool, tree: Any) -> None:
        self.plain, tensors = flatten(tree)
        self._pool = pool
        self._users = 1
        self.segment: Segment = pool.acquire(room(tensors))
        self.specs: list[Spec] = write(self.segment, tensors)

    def retain(self) -> None:
        """One more user."""
        self._users += 1

    def release(self) -> None:
        """One user less."""
        self._users -= 1
        if self._users == 0:
            self._pool.release(self.segment)


class Channel:
    """One end of a connection. Not thread-safe."""

    def __init__(self, sock: socket.socket, pool: SegmentPool) -> None:
        self._sock, self._pool = sock, pool
        self._known: set[int] = set()
        self._theirs: dict[int, Segment] = {}
        self._to_free: list[int] = []

    def fileno(self) -> int:
        """For select."""
        return self._sock.fileno()

    def send(self, tree: Any, placed: Placed | None = None) -> None:
        """Send a tree, and with it a reference to tensors placed before. Errors: ``Closed``."""
        plain, tensors = flatten(tree)
        fds: list[int] = []
        message: dict[str, Any] = {"p": plain, "free": self._to_free}
        self._to_free = []
        if tensors:
            segment = self._pool.acquire(room(tensors))
            message["t"] = [self._introduce(segment, fds), write(segment, tensors)]
        if placed is not None:
            message["a"] = [placed.plain, self._introduce(placed.segment, fds), placed.specs]
        data = _encode(message)
        if len(data) > _LONG:
            segment = self._pool.acquire(len(data))
            write(segment, [torch.frombuffer(bytearray(data), dtype=torch.uint8)])
            data = _encode({"long": [*self._introduce(segment, fds), len(data)]})
        try:
            header = _HEADER.pack(len(data), len(fds))
            if fds:
                socket.send_fds(self._sock, [header], fds)
                self._sock.sendall(data)
            else:
                self._sock.sendall(header + data)
        except OSError as e:
            raise Closed from e

    def _introduce(self, segment: Segment, fds: list[int]) -> list[int]:
        if segment.id not in self._known:
            self._known.add(segment.id)
            fds.append(segment.fd)
        return [segment.id, segment.nbytes]

    def receive(self) -> tuple[Any, Any]:
        """``(tree, placed tree or None)``. Errors: ``Closed`` when the other side is gone."""
        try:
            head, fds, _, _ = socket.recv_fds(self._sock, _HEADER.size, 4)
            while len(head) < _HEADER.size:
                more = self._sock.recv(_HEADER.size - len(head))
                if not more:
                    raise Closed
                head += more
            length, _ = _HEADER.unpack(head)
            data = bytearray(length)
            at, target = 0, memoryview(data)
            while at < length:
                n = self._sock.recv_into(target[at:])
                if n == 0:
                    raise Closed
                at += n
        except OSError as e:
            raise Closed from e
        message = _decode(data)
        if "long" in message:
            number, nbytes, length = message["long"]
            # The segment's descriptor was the last to be attached.
            fds = [*fds[-1:], *fds[:-1]] if number not in self._theirs else fds
            message = _decode(bytes(self._segment(number, nbytes, fds).map[:length]))
            self._to_free.append(number)
        for number in message["free"]:
            self._pool.release(self._pool.by_id(number))
        tensors = []
        if "t" in message:
            (held, nbytes), specs = message["t"]
            segment = self._segment(held, nbytes, fds)
            tensors = segment.tensors(specs, lambda: self._to_free.append(held))
        placed = None
        if "a" in message:
            plain, (a_id, a_nbytes), specs = message["a"]
            placed = unflatten(plain, self._segment(a_id, a_nbytes, fds).tensors(specs))
        return unflatten(message["p"], tensors), placed

    def _segment(self, id: int, nbytes: int, fds: list[int]) -> Segment:
        if id not in self._theirs:
            self._theirs[id] = Segment(id, nbytes, fds.pop(0))
        return self._theirs[id]

    def close(self) -> None:
        """Close the socket and the other side's segments."""
        self._sock.close()
        for segment in self._theirs.values():
            segment.close()
        self._theirs.clear()
