"""A channel between parent and worker: small messages over a Unix socket, tensors through shared memory.

A message is a few plain values and a tree. The tree's tensors are written into shared memory of the sender's, and read
in place by the receiver; when the receiver holds none of them any more, it says so with its next message, and the
memory is used again.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgspec
import torch

from foedus.core.trees import flatten, unflatten
from foedus.runtimes.segments import Block, Segment, SegmentPool, Spec, room, write

_LONG = 1 << 15
"""Longer messages go through shared memory, for two sides that both fill a socket's buffer would wait for ever."""

_HEADER = struct.Struct("<IB")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Closed(Exception):
    """The other side is gone."""


class Placed:
    """Tensors in shared memory that several channels can refer to. Used again when nobody refers to it."""

    def __init__(self, pool: SegmentPool, tree: Any, exactly: bool = False) -> None:
        self.plain, tensors = flatten(tree)
        self._pool = pool
        self._users = 1
        self.block: Block = pool.acquire(room(tensors), exactly)
        self.specs: list[Spec] = write(self.block, tensors)

    def retain(self) -> None:
        """One more user."""
        self._users += 1

    def release(self) -> None:
        """One user less."""
        self._users -= 1
        if self._users == 0:
            self._pool.release(self.block)


class Channel:
    """One end of a connection. Not thread-safe."""

    def __init__(self, sock: socket.socket, pool: SegmentPool) -> None:
        self._sock, self._pool = sock, pool
        self._known: set[int] = set()
        self._theirs: dict[int, Segment] = {}
        self._to_free: list[int] = []

    def fileno(self) -> int:
        """For poll."""
        return self._sock.fileno()

    def send(self, plain: Any, tree: Any = None, placed: Placed | None = None) -> None:
        """Send plain values (numbers, strings, lists, dicts), a tree, and a reference to tensors placed before.

        Plain values cost a hundredth of a tree's time to send. Errors: ``Closed``.
        """
        shape, tensors = flatten(tree)
        fds: list[int] = []
        # Segments that the other side does not know yet: their numbers and sizes, in the order of the descriptors.
        new: list[list[int]] = []
        message: dict[str, Any] = {"m": plain, "p": shape, "free": self._to_free}
        self._to_free = []
        if tensors:
            block = self._pool.acquire(room(tensors))
            message["t"] = [block.id, self._introduce(block.segment, fds, new), write(block, tensors)]
        if placed is not None:
            message["a"] = [placed.plain, self._introduce(placed.block.segment, fds, new), placed.specs]
        data = _encode({**message, "new": new})
        if len(data) > _LONG:
            block = self._pool.acquire(len(data))
            number = self._introduce(block.segment, fds, new)
            places = write(block, [torch.frombuffer(bytearray(data), dtype=torch.uint8)])
            data = _encode({"long": [block.id, number, places[0][0], len(data)], "new": new})
        try:
            header = _HEADER.pack(len(data), len(fds))
            if fds:
                socket.send_fds(self._sock, [header], fds)
                self._sock.sendall(data)
            else:
                self._sock.sendall(header + data)
        except OSError as e:
            raise Closed from e

    def _introduce(self, segment: Segment, fds: list[int], new: list[list[int]]) -> int:
        if segment.id not in self._known:
            self._known.add(segment.id)
            fds.append(segment.fd)
            new.append([segment.id, segment.nbytes])
        return segment.id

    def receive(self) -> tuple[Any, Any, Any]:
        """``(plain, tree, placed tree or None)``. Errors: ``Closed`` when the other side is gone."""
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
        for (number, nbytes), fd in zip(message["new"], fds, strict=True):
            segment = self._theirs[number] = Segment(number, nbytes, fd)
            segment.close()  # the mapping stays; its descriptor would only count against the system's limit
        if "long" in message:
            block, number, start, length = message["long"]
            message = _decode(self._theirs[number].map[start : start + length])
            self._to_free.append(block)
        for freed in message["free"]:
            self._pool.release(self._pool.by_id(freed))
        tensors = []
        if "t" in message:
            held, number, specs = message["t"]
            tensors = self._theirs[number].tensors(specs, lambda: self._to_free.append(held))
        placed = None
        if "a" in message:
            plain, number, specs = message["a"]
            placed = unflatten(plain, self._theirs[number].tensors(specs))
        return message["m"], unflatten(message["p"], tensors), placed

    def close(self) -> None:
        """Close the socket and forget the other side's segments."""
        self._sock.close()
        self._theirs.clear()
