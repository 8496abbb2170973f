"""A pipe through shared memory: large parts go through slots of a segment, small ones through the socket.

The sender copies a piece into a slot and rings (a record of a few bytes on the Unix socket); the receiver adds the
piece, or copies it, straight out of the slot and gives the slot back. That is one copy a byte where a socket needs
two, and a socket's call puts the two processes' views of the memory in order on every processor.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import deque
from typing import NamedTuple

from foedus.runtimes.processes.collectives.pipes import PIECE, Broken
from foedus.runtimes.processes.wire.meter import Meter
from foedus.runtimes.segments import Segment

SLOTS = 4
_INLINE = 1 << 13
"""Parts up to this many bytes go through the socket: they need no slot, and nothing has to be given back."""

_RECORD = struct.Struct("<II")
_BYTES, _SLOT, _FREE = range(3)
_HELLO = struct.Struct("<II")


class _Arrived(NamedTuple):
    """Bytes that have come: where they lie, and whether it is a slot that has to be given back."""

    view: memoryview
    slot: bool


class RingBufferPipe:
    """A pipe over a connected Unix socket and two segments of shared memory, each side's own to write in."""

    ahead = 1 << 40  # there are only so many slots

    def __init__(self, sock: socket.socket, peer: int, meter: Meter) -> None:
        self._sock, self.peer, self._meter = sock, peer, meter
        self.queued = self.gone = 0
        self._parts: deque[memoryview] = deque()
        mine = Segment(0, SLOTS * PIECE)
        try:
            # The first bytes of the stream bring the segment's descriptor. What the other side sends is read when
            # it is there: two ranks need not make their ends at the same time.
            socket.send_fds(sock, [_HELLO.pack(SLOTS, PIECE)], [mine.fd])
        except OSError as e:
            raise Broken(peer, f"is gone ({e.strerror})") from e
        finally:
            mine.close()
        meter.bytes_sent += _HELLO.size
        sock.setblocking(False)
        self._mine = memoryview(mine.map)
        self._theirs: memoryview | None = None
        self._free, self._write, self._read, self._slot_bytes = SLOTS, 0, 0, 0
        self._records = bytearray()
        self._needed = False
        self._to_free = 0
        self._memory = memoryview(bytearray(8 * _INLINE))
        self._held = 0
        self._in: deque[_Arrived] = deque()
        self._used = 0

    def fileno(self) -> int:
        return self._sock.fileno()

    # Out: parts become records, and slots where they are long.

    def put(self, *parts: memoryview | bytes) -> None:
        n = sum(map(len, parts))
        self.queued += n
        if len(parts) > 1 and n <= _INLINE:
            self._parts.append(memoryview(b"".join(parts)))
        else:
            self._parts.extend(memoryview(p) for p in parts if len(p))

    @property
    def waiting(self) -> bool:
        return bool(self._parts or self._records)

    @property
    def events(self) -> int:
        return select.POLLOUT if self._records else select.POLLIN

    def push(self) -> None:
        if self._parts and len(self._records) < 2 * _INLINE:
            part = self._parts[0]
            if len(part) <= _INLINE:
                self._parts.popleft()
                self._give_back()
                self._needed = True
                self._records += _RECORD.pack(_BYTES, len(part))
                self._records += part
                self.gone += len(part)
            else:
                if not self._free:
                    self._fill()
                if self._free:
                    self._give_back()
                    self._into_slot(part)
        if self._records:
            try:
                n = self._sock.send(self._records)
            except BlockingIOError:
                return
            except OSError as e:
                if self._needed or self._parts:
                    raise Broken(self.peer, f"is gone ({e.strerror})") from e
                # It has all that it wanted and has left; nobody needs the slots that we give back.
                self._records.clear()
                return
            self._meter.bytes_sent += n
            del self._records[:n]
            self._needed = self._needed and bool(self._records)

    def _into_slot(self, part: memoryview) -> None:
        n = min(len(part), PIECE)
        at = self._write * PIECE
        self._mine[at : at + n] = part[:n]
        self._write = (self._write + 1) % SLOTS
        self._free -= 1
        self._needed = True
        self._records += _RECORD.pack(_SLOT, n)
        self.gone += n
        self._meter.bytes_sent += n
        if n == len(part):
            self._parts.popleft()
        else:
            self._parts[0] = part[n:]

    def _give_back(self) -> None:
        if self._to_free:
            self._records += _RECORD.pack(_FREE, self._to_free)
            self._to_free = 0

    # In: records become pieces that have arrived.

    def _fill(self) -> None:
        try:
            if self._theirs is None:
                self._meet()
            n = self._sock.recv_into(self._memory[self._held :])
        except BlockingIOError:
            return
        except OSError as e:
            raise Broken(self.peer, f"is gone ({e.strerror})") from e
        if n == 0:
            raise Broken(self.peer, "has closed the connection")
        self._meter.bytes_received += n
        self._held += n
        self._parse()

    def _meet(self) -> None:
        hello, fds, _, _ = socket.recv_fds(self._sock, _HELLO.size, 1)
        if len(hello) < _HELLO.size or len(fds) != 1:
            raise Broken(self.peer, "has closed the connection")
        self._meter.bytes_received += _HELLO.size
        slots, self._slot_bytes = _HELLO.unpack(hello)
        segment = Segment(0, slots * self._slot_bytes, fds[0])
        segment.close()
        self._theirs = memoryview(segment.map)

    def _parse(self) -> None:
        at, memory = 0, self._memory
        while self._held - at >= _RECORD.size:
            kind, n = _RECORD.unpack_from(memory, at)
            if kind == _BYTES:
                if self._held - at < _RECORD.size + n:
                    break
                at += _RECORD.size
                # A copy, for records behind it may be needed before somebody asks for these bytes.
                self._in.append(_Arrived(memoryview(bytes(memory[at : at + n])), False))
                at += n
                continue
            at += _RECORD.size
            if kind == _SLOT:
                assert self._theirs is not None
                start = self._read * self._slot_bytes
                self._read = (self._read + 1) % (len(self._theirs) // self._slot_bytes)
                self._in.append(_Arrived(self._theirs[start : start + n], True))
                self._meter.bytes_received += n
            else:
                self._free += n
        if at:
            memory[: self._held - at] = memory[at : self._held]
            self._held -= at

    def pull(self, into: memoryview) -> int:
        view = self.borrow(len(into))
        if view is None:
            return 0
        n = len(view)
        into[:n] = view
        self.release(n)
        return n

    def borrow(self, nbytes: int) -> memoryview | None:
        if not self._in:
            self._fill()
            if not self._in:
                return None
        view = self._in[0].view
        return view[self._used : self._used + nbytes]

    def release(self, nbytes: int) -> None:
        view, slot = self._in[0]
        self._used += nbytes
        if self._used < len(view):
            return
        self._in.popleft()
        self._used = 0
        if slot:
            # Told with the next record that goes there, or when the other side may be running out of slots.
            self._to_free += 1
            if self._to_free >= SLOTS // 2:
                self._give_back()

    def close(self) -> None:
        self._sock.close()
        self._parts.clear()
        self._in.clear()
        self._mine, self._theirs = memoryview(b""), None
