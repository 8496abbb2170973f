"""A channel over a TCP (or any stream) socket: the same calls as ``runtimes.channel.Channel``, without shared memory.

A frame is a header of 16 bytes (a mark, the length of the plain half, the bytes of all tensors), the plain half as
MessagePack, and the tensors' numbers one after the other. Numbers go straight from tensors' memory to the socket, and
from the socket into the memory of new tensors.

Sending does not wait for the other side. What the socket does not take at once stays in a queue, and ``flush`` goes on
with it; tensors of a frame that has to wait are copied then, so that the sender may change its own as soon as ``send``
has returned. Placed tensors never change while somebody refers to them, and are not copied.
"""

from __future__ import annotations

import itertools
import math
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from foedus.core.trees import flatten, unflatten
from foedus.runtimes.channel import Closed
from foedus.runtimes.processes.wire.meter import Meter

Frame = tuple[Any, Any, Any]
"""``(plain, tree, placed tree or None)``."""

HEADER = struct.Struct("<4sIQ")
MARK = b"FDS1"
PLAIN_LIMIT = 1 << 28
"""Bytes of a plain half: a pickled program or job is the largest."""
TENSOR_LIMIT = 1 << 36
TENSORS_LIMIT = 1 << 16
"""How many tensors a frame may hold."""

_BUFFERS = 64
"""Buffers in one system call; systems allow 1024."""
_BURST = 64
"""Reads in a row before others get their turn."""
_WAITS = (BlockingIOError, InterruptedError)
_DTYPES: dict[str, torch.dtype] = {
    str(d).removeprefix("torch."): d
    for d in (
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    )
}

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Malformed(Closed):
    """What came is not a frame, or larger than any frame may be: the connection is of no use any more."""


class Packed:
    """Tensors that are sent to several nodes: copied and taken apart once. Let go of when nobody refers to it."""

    def __init__(self, tree: Any) -> None:
        self.plain, tensors = flatten(tree)
        self.tensors = [t.clone(memory_format=torch.contiguous_format) for t in tensors]
        self._users = 1

    def retain(self) -> None:
        """One more user."""
        self._users += 1

    def release(self) -> None:
        """One user less."""
        self._users -= 1
        if self._users == 0:
            self.tensors = []


class _Sending:
    """A frame on its way out. ``mine`` of its buffers are not the caller's: the others must be copied if it waits.

    ``head`` bytes of it are not numbers of tensors, and have not left yet.
    """

    __slots__ = ("buffers", "head", "mine", "placed")

    def __init__(self, buffers: deque[memoryview], mine: deque[bool], placed: Packed | None) -> None:
        self.buffers, self.mine, self.head, self.placed = buffers, mine, len(buffers[0]), placed

    def keep(self) -> None:
        """Copy what is the caller's."""
        for i, (buffer, mine) in enumerate(zip(self.buffers, self.mine, strict=True)):
            if not mine:
                self.buffers[i] = np.frombuffer(buffer, np.uint8).copy().data
                self.mine[i] = True

    def done(self) -> None:
        if self.placed is not None:
            self.placed.release()
            self.placed = None


class SocketChannel:
    """One end of a connection. Not thread-safe. The socket becomes this object's, and non-blocking.

    ``meter``  counts bytes, frames and seconds.
    ``limit``  bytes of tensors that a frame may hold; a longer one is ``Malformed`` before any memory is taken for it.
    """

    def __init__(self, sock: socket.socket, meter: Meter | None = None, limit: int = TENSOR_LIMIT) -> None:
        sock.setblocking(False)
        self._sock, self._limit = sock, limit
        self.meter = meter if meter is not None else Meter()
        self._out: deque[_Sending] = deque()
        self._ready: deque[Frame] = deque()
        self._broken: Closed | None = None
        # Reading: where the next bytes belong, and what follows when all are there.
        self._targets: deque[memoryview] = deque()
        self._vectors = False
        """Whether these bytes are numbers of tensors."""
        self._parts = self._frames()
        self._go_on()

    def fileno(self) -> int:
        """For poll."""
        return self._sock.fileno()

    # -- sending -----------------------------------------------------------------------------------------------

    def send(
        self, plain: Any, tree: Any = None, placed: Packed | None = None, wait: bool = False, fixed: bool = False
    ) -> None:
        """Send plain values, a tree of tensors, and tensors placed before.

        Returns at once, with the frame sent as far as the socket takes it, unless ``wait``: then it returns when all
        that was queued has left, and nothing is copied; nor where the tree is ``fixed``: nobody changes its tensors.
        Errors: ``Closed``.
        """
        started = time.perf_counter()
        shape, tensors = flatten(tree)
        own = [t.contiguous() for t in tensors]
        given = [] if placed is None else placed.tensors
        message: dict[str, Any] = {"m": plain, "p": shape, "t": [_spec(t) for t in own]}
        if placed is not None:
            message["a"] = [placed.plain, [_spec(t) for t in given]]
        data = _encode(message)
        views = [_bytes(t) for t in own if t.numel()]
        shared = [_bytes(t) for t in given if t.numel()]
        vectors = sum(map(len, views)) + sum(map(len, shared))
        if len(data) > PLAIN_LIMIT or vectors > self._limit:
            raise ValueError(f"a frame of {len(data)} and {vectors} bytes is longer than {PLAIN_LIMIT}, {self._limit}")
        head = memoryview(HEADER.pack(MARK, len(data), vectors) + data)
        if placed is not None:
            placed.retain()
        mine = deque([True, *[fixed] * len(views), *[True] * len(shared)])
        self._out.append(_Sending(deque([head, *views, *shared]), mine, placed))
        self.meter.serial_s += time.perf_counter() - started
        if wait:
            self.drain()
        elif len(self._out) > 1 or not self.flush():
            started = time.perf_counter()
            if self._out:
                self._out[-1].keep()
            self.meter.serial_s += time.perf_counter() - started

    @property
    def pending(self) -> bool:
        """Whether something has not left yet."""
        return bool(self._out)

    unreturned = 0

    def flush(self) -> bool:
        """Write what the socket takes now; whether that was all. Errors: ``Closed``."""
        started = time.perf_counter()
        try:
            while self._out:
                frame = self._out[0]
                buffers = [frame.buffers[i] for i in range(min(_BUFFERS, len(frame.buffers)))]
                try:
                    self._wrote(frame, self._sock.sendmsg(buffers))
                except _WAITS:
                    return False
            return True
        except OSError as e:
            self._drop()
            raise Closed from e
        finally:
            self.meter.wire_s += time.perf_counter() - started

    def _wrote(self, frame: _Sending, n: int) -> None:
        head = min(n, frame.head)
        frame.head -= head
        self.meter.bytes_sent += n
        self.meter.vector_sent += n - head
        while n:
            first = frame.buffers[0]
            if n < len(first):
                frame.buffers[0] = first[n:]
                return
            n -= len(first)
            frame.buffers.popleft()
            frame.mine.popleft()
        if not frame.buffers:
            self._out.popleft()
            self.meter.messages_sent += 1
            frame.done()

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all has left; False after ``timeout`` seconds. What comes meanwhile is taken in, so that two sides
        that both send do not wait for each other for ever. Errors: ``Closed``.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not self.flush():
            events = self._wait(select.POLLOUT | select.POLLIN, None if end is None else end - time.monotonic())
            if not events:
                return False
            if events & select.POLLIN:
                self._take_in()
                if self._broken is not None:
                    self._drop()
                    raise self._broken
        return True

    def _drop(self) -> None:
        for frame in self._out:
            frame.done()
        self._out.clear()

    # -- receiving ---------------------------------------------------------------------------------------------

    def receive(self, timeout: float | None = None) -> Frame:
        """``(plain, tree, placed tree or None)``, of tensors of their own. Waits for a whole frame.

        Errors: ``Closed`` when the other side is gone, ``Malformed`` if it sent something else, ``TimeoutError``.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not self._ready:
            if self._broken is not None:
                raise self._broken
            if not self._take_in():
                left = None if end is None else end - time.monotonic()
                if not self._wait(select.POLLIN, left):
                    raise TimeoutError
        return self._ready.popleft()

    def poll(self) -> list[Frame]:
        """The frames that are whole by now, without waiting. Errors: as ``receive``, when no frame is left."""
        if self._broken is None:
            self._take_in()
        if not self._ready and self._broken is not None:
            raise self._broken
        frames = list(self._ready)
        self._ready.clear()
        return frames

    def _take_in(self) -> bool:
        """Read what is there, up to a burst; whether anything was. An end is told after the frames before it."""
        try:
            for i in range(_BURST):
                if not self._read():
                    return i > 0
        except Closed as e:
            self._broken = e
        return True

    def _read(self) -> bool:
        """One read into the part under way; False if nothing is there."""
        started = time.perf_counter()
        try:
            n: int = self._sock.recvmsg_into(list(itertools.islice(self._targets, _BUFFERS)))[0]
        except _WAITS:
            return False
        except OSError as e:
            raise Closed from e
        finally:
            self.meter.wire_s += time.perf_counter() - started
        if n == 0:
            raise Closed
        self.meter.bytes_received += n
        self.meter.vector_received += n if self._vectors else 0
        while n:
            first = self._targets.popleft()
            if n < len(first):
                self._targets.appendleft(first[n:])
            n -= min(n, len(first))
        self._go_on()
        return True

    def _go_on(self) -> None:
        """When a part is whole, read the next one."""
        started = time.perf_counter()
        while not self._targets:
            self._vectors, parts = next(self._parts)
            self._targets.extend(part for part in parts if len(part))
        self.meter.serial_s += time.perf_counter() - started

    def _frames(self) -> Iterator[tuple[bool, Sequence[memoryview]]]:
        """Makes frames of what comes: gives the memory to be filled next, and whether with numbers of tensors."""
        head = memoryview(bytearray(HEADER.size))
        while True:
            yield False, [head]
            mark, length, vectors = HEADER.unpack(head)
            if mark != MARK:
                raise Malformed(f"expected a frame, got {mark!r}")
            if length > PLAIN_LIMIT or vectors > self._limit:
                raise Malformed(
                    f"a frame of {length} and {vectors} bytes is longer than {PLAIN_LIMIT} and {self._limit}"
                )
            data = bytearray(length)
            yield False, [memoryview(data)]
            try:
                message = _decode(data)
                own, given = message["t"], message["a"][1] if "a" in message else []
                if len(own) + len(given) > TENSORS_LIMIT:
                    raise ValueError(f"{len(own) + len(given)} tensors")
                kinds = [(_shape(shape), _DTYPES[name]) for shape, name in [*own, *given]]
                total = sum(math.prod(shape) * dtype.itemsize for shape, dtype in kinds)
                if total != vectors:
                    raise ValueError(f"tensors of {total} bytes, but {vectors} were announced")
                tensors = [torch.empty(shape, dtype=dtype) for shape, dtype in kinds]
                tree = unflatten(message["p"], tensors[: len(own)])
                placed = unflatten(message["a"][0], tensors[len(own) :]) if "a" in message else None
                frame = message["m"], tree, placed
            except (msgspec.DecodeError, LookupError, TypeError, ValueError) as e:
                raise Malformed(f"a frame's plain half cannot be read: {e}") from e
            yield True, [_bytes(t) for t in tensors if t.numel()]
            self._ready.append(frame)
            self.meter.messages_received += 1

    def _wait(self, events: int, seconds: float | None) -> int:
        """Wait for the socket; what it is ready for, 0 after that many seconds."""
        started = time.perf_counter()
        poll = select.poll()
        poll.register(self._sock, events)
        found = poll.poll(None if seconds is None else max(0.0, seconds) * 1000)
        self.meter.waiting_s += time.perf_counter() - started
        # A hang-up or an error is found by the call that reads.
        return (found[0][1] & events or select.POLLIN) if found else 0

    def close(self) -> None:
        """Close the socket; what was queued is lost."""
        self._drop()
        self._ready.clear()
        self._sock.close()


def _spec(t: Tensor) -> list[Any]:
    return [list(t.shape), str(t.dtype).removeprefix("torch.")]


def _shape(shape: Sequence[Any]) -> tuple[int, ...]:
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"the shape {shape}")
    return tuple(shape)


def _bytes(t: Tensor) -> memoryview:
    """A contiguous tensor's memory."""
    return t.reshape(-1).view(torch.uint8).numpy().data
