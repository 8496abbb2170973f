"""The frames of a collective: a header that both sides can check, a rank's note, then the vector's bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from foedus.core.errors import BadInput
from foedus.runtimes.processes.collectives.pipes import Pipe, Pump

_HEADER = struct.Struct("<IIQ")
_TYPES = {"float32": 1, "float64": 2, "int32": 3, "int64": 4}
"""Numbers that can be summed; integers modulo 2^32 and 2^64."""
OTHER = 0
"""The kind of a frame whose bytes are not one flat vector."""


class Frame(NamedTuple):
    """What stands before the bytes: the count of calls so far, of which kind they are, how many, and the note."""

    call: int
    kind: int
    nbytes: int
    note: bytes


def kind_of(dtype: str) -> int:
    """The kind of a vector's frames. Errors: ``BadInput`` for numbers that cannot be summed."""
    if dtype not in _TYPES:
        raise BadInput(f"a vector of {dtype} cannot be summed over ranks: give one of {', '.join(_TYPES)}")
    return _TYPES[dtype]


def head(frame: Frame) -> bytes:
    """The frame up to its vector. Padded, so that numbers behind it are aligned where the frame is."""
    note = frame.note
    words = (frame.call & 0xFFFF) << 16 | frame.kind
    return _HEADER.pack(words, len(note), frame.nbytes) + note + bytes(-len(note) % 8)


def read_head(pump: Pump, pipe: Pipe) -> Frame:
    """Wait for a frame's beginning."""
    words, length, nbytes = _HEADER.unpack(pump.read(pipe, _HEADER.size))
    note = pump.read(pipe, length + -length % 8)[:length] if length else b""
    pump.meter.messages_received += 1
    return Frame(words >> 16, words & 0xFFFF, nbytes, note)


def check(frame: Frame, expected: Frame, peer: int) -> None:
    """Errors: ``BadInput`` if the other rank is in another call, or gave another vector."""
    if frame.call != expected.call & 0xFFFF or (frame.kind == OTHER) != (expected.kind == OTHER):
        raise BadInput(f"rank {peer} is in another call than this rank: all ranks must make the same calls in order")
    if (frame.kind, frame.nbytes) != (expected.kind, expected.nbytes) and expected.kind != OTHER:
        raise BadInput(
            f"rank {peer} gave {_vector(frame)} and this rank {_vector(expected)}: all ranks must give the same shape"
        )


def _vector(frame: Frame) -> str:
    for name, kind in _TYPES.items():
        if kind == frame.kind:
            return f"{frame.nbytes * 8 // int(name[-2:])} numbers of {name}"
    return f"{frame.nbytes} bytes"


class Framed:
    """One rank's end of a collective over our own pipes: frames that go through them, and how many calls there were."""

    def __init__(self, rank: int, ranks: int, pipes: dict[int, Pipe], pump: Pump) -> None:
        self.rank, self.ranks, self.pump, self.pipes = rank, ranks, pump, pipes
        self.calls = 0

    def put_frame(self, pipes: Sequence[Pipe], frame: Frame, *payload: memoryview) -> None:
        """Queue the beginning of a frame, with its bytes if they are at hand."""
        data = head(frame)
        for pipe in pipes:
            pipe.put(data, *payload)
            self.pump.meter.messages_sent += 1
            self.pump.meter.vector_sent += sum(map(len, payload))

    def put_more(self, pipes: Sequence[Pipe], data: memoryview) -> None:
        """Queue the next bytes of the frame that was begun last."""
        for pipe in pipes:
            pipe.put(data)
            self.pump.meter.vector_sent += len(data)

    def get_more(self, pipe: Pipe, into: memoryview) -> None:
        """Receive the next bytes of a frame into this memory."""
        self.pump.read_into(pipe, into)
        self.pump.meter.vector_received += len(into)

    def close(self) -> None:
        """Close all connections: whoever waits for this rank learns it at once."""
        for pipe in self.pipes.values():
            pipe.close()
