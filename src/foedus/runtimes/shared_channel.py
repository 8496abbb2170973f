"""A channel between two processes of a machine: small messages over a Unix socket, tensors through shared memory.

A message is a few plain values and a tree. The tree's tensors are written into shared memory of the sender's, and read
in place by the receiver; when the receiver holds none of them any more, it says so with its next message, and the
memory is used again. A connected socket can go with a message as well.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections import deque
from typing import Any

import msgspec
import torch

from foedus.core.types.trees import flatten, unflatten
from foedus.runtimes.channel import Channel, Closed, Counted, Frame
from foedus.runtimes.meter import Meter
from foedus.runtimes.segments import Block, Segment, SegmentPool, Spec, room, write

_LONG = 1 << 15
"""Longer messages go through shared memory, for two sides that both fill a socket's buffer would wait for ever."""

_PAUSE = 0.001
"""Seconds until it is tried again to pass a descriptor, when the system holds as many that others have yet to take."""

_HEADER = struct.Struct("<IB")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Placed(Counted):
    """Tensors in shared memory, which is used again when nobody refers to it."""

    def __init__(self, pool: SegmentPool, tree: Any, exactly: bool = False) -> None:
        super().__init__()
        self.plain, tensors = flatten(tree)
        self.nbytes = sum(t.nbytes for t in tensors)
        self._pool = pool
        self.block: Block = pool.acquire(room(tensors), exactly)
        self.specs: list[Spec] = write(self.block, tensors)

    def tree(self) -> Any:
        return unflatten(self.plain, self.block.segment.tensors(self.specs))

    def _let_go(self) -> None:
        self._pool.release(self.block)


class SharedChannel(Channel):
    """A channel over a Unix socket. Tensors that were placed are written once."""

    def __init__(self, sock: socket.socket, pool: SegmentPool, meter: Meter | None = None) -> None:
        super().__init__(sock, meter)
        self._pool = pool
        self._known: set[int] = set()
        self._theirs: dict[int, Segment] = {}
        self._to_free: list[int] = []
        self.sockets: deque[socket.socket] = deque()
        """Those that came with messages and have not been taken, in their order."""

    def send(
        self,
        plain: Any,
        tree: Any = None,
        placed: Placed | None = None,
        wait: bool = True,
        fixed: bool = False,
        sock: socket.socket | None = None,
    ) -> None:
        """``wait``, which is at once unless the other side has left a socket's buffer full of frames unread, goes
        without saying here, and ``fixed`` makes no difference: a tree is copied in any case. Plain values cost a
        hundredth of its time. ``sock`` becomes one of the other side's ``sockets``; when it has left it can be closed.
        """
        started = time.perf_counter()
        vectors = 0
        shape, tensors = flatten(tree)
        fds: list[int] = []
        # Segments that the other side does not know yet: their numbers and sizes, in the order of the descriptors.
        new: list[list[int]] = []
        message: dict[str, Any] = {"m": plain, "p": shape, "free": self._to_free}
        self._to_free = []
        if tensors:
            block = self._pool.acquire(room(tensors))
            message["t"] = [block.id, self._introduce(block.segment, fds, new), write(block, tensors)]
            vectors += sum(t.nbytes for t in tensors)
        if placed is not None:
            vectors += placed.nbytes
            message["a"] = [placed.plain, self._introduce(placed.block.segment, fds, new), placed.specs]
        data = _encode({**message, "new": new})
        if len(data) > _LONG:
            block = self._pool.acquire(len(data))
            number = self._introduce(block.segment, fds, new)
            places = write(block, [torch.frombuffer(bytearray(data), dtype=torch.uint8)])
            data = _encode({"long": [block.id, number, places[0][0], len(data)], "new": new})
        if sock is not None:
            fds.append(sock.fileno())
        header = _HEADER.pack(len(data), len(fds))
        if fds:
            self._out.append((memoryview(header), fds))
            self._out.append((memoryview(data), []))
        else:
            self._out.append((memoryview(header + data), []))
        self.meter.messages_sent += 1
        self.meter.vector_sent += vectors
        self.meter.bytes_sent += vectors + len(header) + len(data)
        self.meter.serial_s += time.perf_counter() - started
        if wait:
            self.drain()
        else:
            self.flush()

    def drain(self) -> None:
        self._write(wait=True)

    def _push(self, wait: bool) -> None:
        data, fds = self._out[0]
        flags = 0 if wait else socket.MSG_DONTWAIT
        try:
            n = socket.send_fds(self._sock, [data], fds, flags) if fds else self._sock.send(data, flags)
        except OSError as e:
            if e.errno != errno.ETOOMANYREFS:
                raise
            time.sleep(_PAUSE)
            return
        if n < len(data):
            self._out[0] = data[n:], []
        else:
            self._out.popleft()

    def _introduce(self, segment: Segment, fds: list[int], new: list[list[int]]) -> int:
        if segment.id not in self._known:
            self._known.add(segment.id)
            fds.append(segment.fd)
            new.append([segment.id, segment.nbytes])
        return segment.id

    def receive(self) -> Frame:
        """The next frame, as soon as it is there. Errors: ``Closed``."""
        began = time.perf_counter()
        try:
            head, fds, _, _ = socket.recv_fds(self._sock, _HEADER.size, 4)
            while len(head) < _HEADER.size:
                more = self._sock.recv(_HEADER.size - len(head))
                if not more:
                    raise Closed
                head += more
            started = time.perf_counter()
            length, passed = _HEADER.unpack(head)
            data = bytearray(length)
            at, target = 0, memoryview(data)
            while at < length:
                n = self._sock.recv_into(target[at:])
                if n == 0:
                    raise Closed
                at += n
        except OSError as e:
            raise Closed from e
        read = time.perf_counter()
        if len(fds) < passed:
            # The system has closed those that this process may not have.
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        message = _decode(data)
        for (number, nbytes), fd in zip(message["new"], fds, strict=False):
            segment = self._theirs[number] = Segment(number, nbytes, fd)
            segment.close()  # the mapping stays; its descriptor would only count against the system's limit
        for fd in fds[len(message["new"]) :]:
            sock = socket.socket(fileno=fd)
            sock.set_inheritable(False)
            self.sockets.append(sock)
        if "long" in message:
            block, number, start, length = message["long"]
            message = _decode(self._theirs[number].map[start : start + length])
            self._to_free.append(block)
        for freed in message["free"]:
            self._pool.release(self._pool.by_id(freed))
        tensors, vectors = [], 0
        if "t" in message:
            held, number, specs = message["t"]
            tensors = self._theirs[number].tensors(specs, lambda: self._to_free.append(held))
        vectors = sum(t.nbytes for t in tensors)
        placed = None
        if "a" in message:
            plain, number, specs = message["a"]
            given = self._theirs[number].tensors(specs)
            vectors += sum(t.nbytes for t in given)
            placed = unflatten(plain, given)
        frame = message["m"], unflatten(message["p"], tensors), placed
        self.meter.messages_received += 1
        self.meter.bytes_received += _HEADER.size + length + vectors
        self.meter.vector_received += vectors
        self.meter.waiting_s += started - began
        self.meter.wire_s += read - started
        self.meter.serial_s += time.perf_counter() - read
        return frame

    def poll(self) -> list[Frame]:
        frames = []
        try:
            while self._there():
                frames.append(self.receive())
        except Closed:
            if not frames:
                raise
        return frames

    def _there(self) -> bool:
        poll = select.poll()
        try:
            poll.register(self._sock, select.POLLIN)
        except (OSError, ValueError) as e:
            raise Closed from e
        return bool(poll.poll(0))

    @property
    def unreturned(self) -> int:
        return len(self._to_free)

    def close(self) -> None:
        super().close()
        self._theirs.clear()
