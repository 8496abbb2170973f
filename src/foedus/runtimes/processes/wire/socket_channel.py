"""A channel over a TCP (or any stream) socket, without shared memory.

A frame is the length of its plain half, that half as MessagePack, and the tensors' numbers one after the other. Numbers
go straight from tensors' memory to the socket, and from the socket into the memory of new tensors.

Sending does not wait for the other side. What the socket does not take at once stays in a queue, and ``flush`` goes on
with it; tensors of a frame that has to wait are copied then, so that the sender may change its own as soon as ``send``
has returned. Placed tensors never change while somebody refers to them, and are not copied.
"""

from __future__ import annotations

import itertools
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

from foedus.core.types.trees import flatten, unflatten
from foedus.runtimes.channel import Channel, Closed, Counted, Frame
from foedus.runtimes.meter import Meter

_LENGTH = struct.Struct("<Q")

_BUFFERS = 64
"""Buffers in one system call; systems allow 1024."""
_BURST = 64
"""Reads in a row before others get their turn."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Packed(Counted):
    """Tensors in memory of their own, copied and taken apart once."""

    def __init__(self, tree: Any) -> None:
        super().__init__()
        self.plain, tensors = flatten(tree)
        self.tensors = [t.clone(memory_format=torch.contiguous_format) for t in tensors]

    def tree(self) -> Any:
        return unflatten(self.plain, self.tensors)

    def _let_go(self) -> None:
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


class SocketChannel(Channel):
    """A channel that never waits but in ``drain``: its socket is non-blocking."""

    def __init__(self, sock: socket.socket, meter: Meter | None = None) -> None:
        super().__init__(sock, meter)
        sock.setblocking(False)
        self._out: deque[_Sending] = deque()
        self._ready: deque[Frame] = deque()
        self._broken: Closed | None = None
        # Reading: where the next bytes belong, and what follows when all are there.
        self._targets: deque[memoryview] = deque()
        self._vectors = False
        """Whether these bytes are numbers of tensors."""
        self._parts = self._frames()
        self._go_on()

    # -- sending -----------------------------------------------------------------------------------------------

    def send(
        self, plain: Any, tree: Any = None, placed: Packed | None = None, wait: bool = False, fixed: bool = False
    ) -> None:
        """With ``wait`` it returns when all that was queued has left, and nothing is copied; nor where ``fixed``."""
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
        head = memoryview(_LENGTH.pack(len(data)) + data)
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

    def _push(self, wait: bool) -> None:
        frame = self._out[0]
        self._wrote(frame, self._sock.sendmsg(list(itertools.islice(frame.buffers, _BUFFERS))))

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

    def drain(self) -> None:
        """What comes meanwhile is taken in, so that two sides that both send do not wait for each other for ever."""
        while not self.flush():
            if self._wait(select.POLLOUT | select.POLLIN) & select.POLLIN:
                self._take_in()
                if self._broken is not None:
                    self._drop()
                    raise self._broken

    def _drop(self) -> None:
        for frame in self._out:
            frame.done()
        super()._drop()

    # -- receiving ---------------------------------------------------------------------------------------------

    def poll(self) -> list[Frame]:
        if self._broken is None:
            self._take_in()
        if not self._ready and self._broken is not None:
            raise self._broken
        frames = list(self._ready)
        self._ready.clear()
        return frames

    def _take_in(self) -> None:
        """Read what is there, up to a burst. An end is told after the frames before it."""
        try:
            for _ in range(_BURST):
                if not self._read():
                    return
        except Closed as e:
            self._broken = e

    def _read(self) -> bool:
        """One read into the part under way; False if nothing is there."""
        started = time.perf_counter()
        try:
            n: int = self._sock.recvmsg_into(list(itertools.islice(self._targets, _BUFFERS)))[0]
        except BlockingIOError:
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
        head = memoryview(bytearray(_LENGTH.size))
        while True:
            yield False, [head]
            data = bytearray(*_LENGTH.unpack(head))
            yield False, [memoryview(data)]
            message = _decode(data)
            own, given = message["t"], message["a"][1] if "a" in message else []
            tensors = [torch.empty(shape, dtype=getattr(torch, name)) for shape, name in [*own, *given]]
            yield True, [_bytes(t) for t in tensors if t.numel()]
            tree = unflatten(message["p"], tensors[: len(own)])
            placed = unflatten(message["a"][0], tensors[len(own) :]) if "a" in message else None
            self._ready.append((message["m"], tree, placed))
            self.meter.messages_received += 1

    def _wait(self, events: int) -> int:
        """Wait for the socket; what it is ready for."""
        started = time.perf_counter()
        poll = select.poll()
        poll.register(self._sock, events)
        [(_, found)] = poll.poll()
        self.meter.waiting_s += time.perf_counter() - started
        return found & events or select.POLLIN  # a hang-up or an error is found by the call that reads

    def close(self) -> None:
        super().close()
        self._ready.clear()


def _spec(t: Tensor) -> list[Any]:
    return [list(t.shape), str(t.dtype).removeprefix("torch.")]


def _bytes(t: Tensor) -> memoryview:
    """A contiguous tensor's memory."""
    return t.reshape(-1).view(torch.uint8).numpy().data
