"""Pipes: bytes between two processes of one machine, both ways at once, by one thread.

A pipe never waits: ``put`` queues, ``push`` and ``pull`` move what can be moved now. The ``Pump`` of a process waits,
for all its pipes at once, so that a rank that waits for bytes always gets rid of its own meanwhile: a ring of ranks
that all send before they receive cannot lock up, however long the vectors are.

Over TCP (``SocketPipe``) bytes are received straight into the vector they belong to, or, if they are to be added to it,
into a piece of memory that stays in the processor's cache. For shared memory see ``ring_buffer.py``.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Sequence
from time import perf_counter

from foedus.runtimes.meter import Meter

PIECE = 1 << 19
"""Bytes that are moved, added and passed on at a time: few calls for a large vector, and a core's cache holds a few."""

_SMALL = 1 << 16
"""Shorter parts are sent with one call, and read with what else has come."""

_SPIN = 100e-6
"""Seconds of looking again and again before sleeping: about what a sleeping process takes to wake up."""


_LONGEST = 1e6
"""Seconds of one sleep: poll counts milliseconds in 32 bits, and a timeout may be infinite."""


class Broken(Exception):
    """The rank ``peer`` is gone, or said nothing for too long while bytes were due; ``why`` says which."""

    def __init__(self, peer: int, why: str) -> None:
        super().__init__(f"rank {peer} {why}")
        self.peer, self.why = peer, why


class Pipe:
    """One end of a byte pipe to the rank ``peer``, over a connected stream socket.

    ``queued`` and ``sent`` count the bytes put, and those of them that have left the memory they were in. Whatever
    touches the connection raises ``Broken`` if the other side is gone.
    """

    ahead: int
    """Bytes, of eights, that should be under way in a direction when both sides send: more does not make it faster."""
    small: int
    """Shorter parts that are put together are sent together."""

    def __init__(self, sock: socket.socket, peer: int, meter: Meter) -> None:
        sock.setblocking(False)
        self._sock, self.peer, self._meter = sock, peer, meter
        self.queued = self.sent = 0
        self._parts: deque[memoryview] = deque()

    def fileno(self) -> int:
        """For poll."""
        return self._sock.fileno()

    def put(self, *parts: memoryview | bytes) -> None:
        """Queue bytes in this order. They are not copied: they must not change before they are ``sent``."""
        n = sum(map(len, parts))
        self.queued += n
        if len(parts) > 1 and 0 < n <= self.small:
            self._parts.append(memoryview(b"".join(parts)))
        else:
            self._parts.extend(memoryview(p) for p in parts if len(p))

    @property
    def waiting(self) -> bool:
        """Whether there is something to push."""
        return bool(self._parts)

    @property
    def events(self) -> int:
        """What to poll for until more of it can be pushed."""
        return select.POLLOUT

    def push(self) -> None:
        """Send what can be sent now, a piece at the most."""
        raise NotImplementedError

    def pull(self, into: memoryview) -> int:
        """Copy what has come, as much as there is room for; how many bytes."""
        raise NotImplementedError

    def borrow(self, nbytes: int) -> memoryview | None:
        """The next bytes where they lie: at most a piece, whole eights unless all; None if they are not there yet."""
        raise NotImplementedError

    def release(self, nbytes: int) -> None:
        """The first ``nbytes`` of the borrowed are read, and their memory may be used again."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection; what was queued is lost."""
        self._sock.close()
        self._parts.clear()

    def _send(self, data: memoryview | bytearray) -> int:
        """How many bytes the socket took."""
        try:
            n = self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as e:
            raise Broken(self.peer, f"is gone ({e.strerror})") from e
        self._meter.bytes_sent += n
        return n

    def _receive(self, into: memoryview) -> int:
        """How many bytes were there."""
        try:
            n = self._sock.recv_into(into)
        except BlockingIOError:
            return 0
        except OSError as e:
            raise Broken(self.peer, f"is gone ({e.strerror})") from e
        if n == 0:
            raise Broken(self.peer, "has closed the connection")
        self._meter.bytes_received += n
        return n


class SocketPipe(Pipe):
    """A pipe over a stream socket."""

    ahead, small = 1 << 18, _SMALL

    def __init__(self, sock: socket.socket, peer: int, meter: Meter) -> None:
        super().__init__(sock, peer, meter)
        # What was read and not yet used is _memory[_lo:_hi]. Room for a piece and what came with the one before.
        self._memory = memoryview(bytearray(PIECE + _SMALL))
        self._lo = self._hi = 0

    def push(self) -> None:
        part = self._parts[0]
        n = self._send(part[:PIECE] if len(part) > PIECE else part)
        self.sent += n
        if n == len(part):
            self._parts.popleft()
        else:
            self._parts[0] = part[n:]

    def pull(self, into: memoryview) -> int:
        if self._lo == self._hi:
            if len(into) >= _SMALL:
                return self._receive(into)
            self._lo, self._hi = 0, self._receive(self._memory[:_SMALL])
        n = min(len(into), self._hi - self._lo)
        into[:n] = self._memory[self._lo : self._lo + n]
        self._lo += n
        return n

    def borrow(self, nbytes: int) -> memoryview | None:
        nbytes = min(nbytes, PIECE)
        if self._hi - self._lo < nbytes:
            if self._lo:
                # To the front, where numbers are aligned.
                held = self._hi - self._lo
                self._memory[:held] = self._memory[self._lo : self._hi]
                self._lo, self._hi = 0, held
            self._hi += self._receive(self._memory[self._hi : max(nbytes, _SMALL)])
            if self._hi < nbytes:
                return None
        return self._memory[self._lo : self._lo + nbytes]

    def release(self, nbytes: int) -> None:
        self._lo += nbytes
        if self._lo == self._hi:
            self._lo = self._hi = 0


class Pump:
    """Moves bytes through the pipes of one process, and keeps the time.

    ``spin``: look again for a while before sleeping, which is quicker where every process has a core of its own.
    ``timeout``: seconds without a byte, while some are due, after which the other side counts as ``Broken``.
    """

    def __init__(self, pipes: Sequence[Pipe], meter: Meter, spin: bool, timeout: float) -> None:
        self.meter = meter
        self._pipes, self._spin, self._timeout = pipes, _SPIN if spin else 0.0, timeout
        self._mark = self._moved = perf_counter()
        self._total = 0

    def start(self) -> None:
        """Time counts from now on."""
        self._mark = self._moved = perf_counter()

    def lap(self, kind: str) -> None:
        """The seconds since the last lap were of this kind."""
        now = perf_counter()
        setattr(self.meter, kind, getattr(self.meter, kind) + now - self._mark)
        self._mark = now

    def borrow(self, pipe: Pipe, nbytes: int) -> memoryview:
        """The pipe's next bytes, at most ``nbytes``, as soon as they are there."""
        while True:
            self._push()
            view = pipe.borrow(nbytes)
            if view is not None:
                self._pass()
                return view
            self._idle(pipe)

    def read(self, pipe: Pipe, nbytes: int) -> bytes:
        """The pipe's next ``nbytes``, which are few."""
        into = bytearray(nbytes)
        self.read_into(pipe, memoryview(into))
        return bytes(into)

    def read_into(self, pipe: Pipe, into: memoryview) -> None:
        """Fill this memory with the pipe's next bytes."""
        at = 0
        while at < len(into):
            self._push()
            n = pipe.pull(into[at:] if at else into)
            if n:
                at += n
                self._pass()
            else:
                self._idle(pipe)

    def flush(self, pipe: Pipe | None = None, upto: int = 0) -> None:
        """Until everything put has left its memory; or with ``pipe``: until its first ``upto`` bytes have."""
        while any(p.waiting for p in self._pipes) if pipe is None else pipe.sent < upto:
            self._push()
            self._idle(None)

    def _push(self) -> None:
        for p in self._pipes:
            if p.waiting:
                p.push()

    def _pass(self) -> None:
        """What was asked for is there."""
        now = perf_counter()
        self.meter.wire_s += now - self._mark
        self._mark = self._moved = now

    def _idle(self, reading: Pipe | None) -> None:
        """What was asked for is not there yet. Wait, if nothing else has moved either."""
        now = perf_counter()
        total = self.meter.bytes_sent + self.meter.bytes_received
        if total != self._total:
            self._total = total
            self.meter.wire_s += now - self._mark
            self._mark = self._moved = now
            return
        self.meter.waiting_s += now - self._mark
        self._mark = now
        if now - self._moved > self._spin:
            self._sleep(reading)

    def _sleep(self, reading: Pipe | None) -> None:
        poll, due = select.poll(), []
        for p in self._pipes:
            events = (select.POLLIN if p is reading else 0) | (p.events if p.waiting else 0)
            if events:
                poll.register(p.fileno(), events)
                due.append(p)
        left = self._moved + self._timeout - perf_counter()
        ready = poll.poll(1000 * min(max(left, 0.0), _LONGEST))
        self.lap("waiting_s")
        if not ready and self._mark - self._moved >= self._timeout:
            late = reading or due[0]
            raise Broken(late.peer, f"sent and took nothing for {self._timeout:g} s")
