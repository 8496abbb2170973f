"""A pipe through shared memory: a ring buffer in each direction for large parts, a socket for small ones.

The sender copies a piece into a cell of its buffer and rings (a record of a few bytes on the Unix socket); the receiver
adds the piece, or copies it, straight out of the cell and gives the cell back. That is one copy a byte where a socket
needs two, and a socket's call puts the two processes' views of the memory in order on every processor.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import deque
from typing import NamedTuple

from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.pipes import PIECE, Broken, Pipe
from foedus.runtimes.segments import Segment

CELLS = 4
"""In each buffer, of a piece's size."""
_INLINE = 1 << 13
"""Parts up to this many bytes go through the socket: they need no cell, and nothing has to be given back."""

_RECORD = struct.Struct("<II")
_BYTES, _CELL, _FREE = range(3)
_HELLO = struct.Struct("<II")


class _Arrived(NamedTuple):
    """Bytes that have come: where they lie, and whether it is a cell that has to be given back."""

    view: memoryview
    cell: bool


class RingBufferPipe(Pipe):
    """A pipe over a connected Unix socket and two ring buffers in shared memory, each side's own to write in."""

    ahead, small = 1 << 40, _INLINE  # there are only so many cells in a buffer

    def __init__(self, sock: socket.socket, peer: int, meter: Meter) -> None:
        super().__init__(sock, peer, meter)
        mine = Segment(0, CELLS * PIECE)
        try:
            # The first bytes of the stream bring the segment's descriptor. What the other side sends is read when
            # it is there: two ranks need not make their ends at the same time.
            socket.send_fds(sock, [_HELLO.pack(CELLS, PIECE)], [mine.fd])
        except OSError as e:
            raise Broken(peer, f"is gone ({e.strerror})") from e
        finally:
            mine.close()
        meter.bytes_sent += _HELLO.size
        self._mine = memoryview(mine.map)
        self._theirs: memoryview | None = None
        self._free, self._write, self._read, self._cell_bytes = CELLS, 0, 0, 0
        self._records = bytearray()
        self._needed = False
        """Whether one of them is not only about cells given back."""
        self._to_free = 0
        self._memory = memoryview(bytearray(8 * _INLINE))
        self._held = 0
        self._in: deque[_Arrived] = deque()
        self._used = 0

    # Out: parts become records, and cells of the buffer where they are long.

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
                self.sent += len(part)
            else:
                if not self._free:
                    self._fill()
                if self._free:
                    self._give_back()
                    self._into_buffer(part)
        if self._records:
            try:
                del self._records[: self._send(self._records)]
            except Broken:
                if self._needed or self._parts:
                    raise
                # It has all that it wanted and has left; nobody needs the cells that we give back.
                self._records.clear()
            self._needed = self._needed and bool(self._records)

    def _into_buffer(self, part: memoryview) -> None:
        n = min(len(part), PIECE)
        at = self._write * PIECE
        self._mine[at : at + n] = part[:n]
        self._write = (self._write + 1) % CELLS
        self._free -= 1
        self._needed = True
        self._records += _RECORD.pack(_CELL, n)
        self.sent += n
        self._meter.bytes_sent += n
        if n == len(part):
            self._parts.popleft()
        else:
            self._parts[0] = part[n:]

    def _give_back(self) -> None:
        if self._to_free:
            self._records += _RECORD.pack(_FREE, self._to_free)
            self._to_free = 0

    # In: records become cells that have arrived.

    def _fill(self) -> None:
        if self._theirs is None:
            try:
                self._meet()
            except BlockingIOError:
                return
            except OSError as e:
                raise Broken(self.peer, f"is gone ({e.strerror})") from e
        self._held += self._receive(self._memory[self._held :])
        self._parse()

    def _meet(self) -> None:
        hello, fds, _, _ = socket.recv_fds(self._sock, _HELLO.size, 1)
        if len(hello) < _HELLO.size or len(fds) != 1:
            raise Broken(self.peer, "has closed the connection")
        self._meter.bytes_received += _HELLO.size
        cells, self._cell_bytes = _HELLO.unpack(hello)
        segment = Segment(0, cells * self._cell_bytes, fds[0])
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
            if kind == _CELL:
                assert self._theirs is not None
                start = self._read * self._cell_bytes
                self._read = (self._read + 1) % (len(self._theirs) // self._cell_bytes)
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
        view, cell = self._in[0]
        self._used += nbytes
        if self._used < len(view):
            return
        self._in.popleft()
        self._used = 0
        if cell:
            # Told with the next record that goes there, or when the other side may be running out of cells.
            self._to_free += 1
            if self._to_free >= CELLS // 2:
                self._give_back()

    def close(self) -> None:
        super().close()
        self._in.clear()
        self._mine, self._theirs = memoryview(b""), None
