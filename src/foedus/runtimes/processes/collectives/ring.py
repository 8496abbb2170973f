"""Ring all-reduce: reduce-scatter, then all-gather, every rank sending to the right and receiving from the left.

The vector is cut into n chunks. In step s of 2 (n - 1), rank r sends chunk r - s and receives chunk r - s - 1, which it
adds to its own (the first n - 1 steps) or takes over. Every rank sends 2 (n - 1) chunks: 2 (n - 1) / n of the vector,
the least there is. Source: Patarasuk and Yuan (2009), "Bandwidth optimal all-reduce algorithms for clusters of
workstations".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.runtimes.processes.collectives.frames import Frame, Framed, check, kind_of, read_head
from foedus.runtimes.processes.collectives.pipes import PIECE, Pipe, Pump

LONG = 1 << 19
"""Bytes of a vector from which on two ranks take turns."""


class Ring(Framed):
    """Sums over a ring. What a step brings is passed on piece by piece, while it is still in the cache."""

    def all_reduce(self, vector: Tensor, note: bytes = b"") -> list[bytes]:
        x = as_array(vector)
        if self.ranks == 1:
            return [note]
        self.pump.start()
        self.calls += 1
        frame = Frame(self.calls, kind_of(str(x.dtype)), x.nbytes, note)
        try:
            # A sum may be infinite without a word, as in torch: who uses it checks it.
            with np.errstate(all="ignore"):
                return self._swap(x, frame) if self.ranks == 2 else self._circle(x, frame)
        except BaseException:
            # The others wait for bytes that will not come: let them know now, and not when their patience ends.
            self.close()
            raise

    def all_merge(self, acc: Any, note: bytes, merge: Callable[[Any, Any], Any]) -> tuple[Any, list[bytes]]:
        raise BadInput(
            "a ring can only add: use the exchange 'tree' or 'server' for aggregators whose merge is not addition"
        )

    def _circle(self, x: np.ndarray, frame: Frame) -> list[bytes]:
        rank, n, pump = self.rank, self.ranks, self.pump
        left, right = self.pipes[(rank - 1) % n], self.pipes[(rank + 1) % n]
        raw = x.view(np.uint8).data
        notes = [b""] * n
        notes[rank] = frame.note
        chunks = [slice(c * len(x) // n, (c + 1) * len(x) // n) for c in range(n)]
        size = x.itemsize
        self.put_frame([right], frame, raw[chunks[rank].start * size : chunks[rank].stop * size])
        for step in range(2 * (n - 1)):
            came = read_head(pump, left)
            check(came, frame, left.peer)
            last, adds = step == 2 * (n - 1) - 1, step < n - 1
            if adds:
                notes[(rank - step - 1) % n] = came.note
            chunk = chunks[(rank - step - 1) % n]
            if not last:
                # A note goes round once: with the first n - 1 steps.
                self.put_frame([right], frame._replace(note=came.note if step + 1 < n - 1 else b""))
            at, end = chunk.start * size, chunk.stop * size
            while at < end:
                if adds:
                    n_bytes = add(pump, left, x[at // size : end // size])
                else:
                    n_bytes = min(PIECE, end - at)
                    self.get_more(left, raw[at : at + n_bytes])
                if not last:
                    self.put_more([right], raw[at : at + n_bytes])
                at += n_bytes
        pump.flush()
        return notes

    def _swap(self, x: np.ndarray, frame: Frame) -> list[bytes]:
        """Two ranks send each other all they have: as many bytes as a ring of two, in one step where it needs two."""
        pump, pipe = self.pump, self.pipes[1 - self.rank]
        raw, size = x.view(np.uint8).data, x.itemsize
        # Of a long vector rank 1 gives its first piece when rank 0's has come. From then on one sends while the other
        # receives: a socket's two directions get into each other's way, and taking turns is twice as fast.
        given = 0 if self.rank == 1 and len(raw) > LONG else min(len(raw), pipe.ahead)
        self.put_frame([pipe], frame, raw[:given])
        before = pipe.queued - given
        came = read_head(pump, pipe)
        check(came, frame, pipe.peer)
        if not given and len(raw):
            pump.borrow(pipe, min(pipe.ahead, len(raw)))
        at = 0
        while at < len(raw):
            more = raw[given : at + pipe.ahead]
            if len(more):
                self.put_more([pipe], more)
                given += len(more)
            mine = x[at // size : (at + pipe.ahead) // size]
            # Our own numbers must have left before the sum takes their place.
            at += add(pump, pipe, mine, own_first=self.rank == 0, sent=before + at)
        pump.flush()
        return [frame.note, came.note] if self.rank == 0 else [came.note, frame.note]


def as_array(vector: Tensor) -> np.ndarray:
    """The vector's memory. Errors: ``BadInput`` unless it is flat, contiguous and on the CPU."""
    if vector.dim() != 1 or not vector.is_contiguous() or vector.device.type != "cpu":
        raise BadInput(
            f"a vector to be summed over ranks must be flat, contiguous and on the CPU, not of shape "
            f"{tuple(vector.shape)} on {vector.device}: give vector.contiguous().flatten()"
        )
    kind_of(str(vector.dtype).removeprefix("torch."))
    array: np.ndarray = vector.detach().numpy()
    return array


def add(pump: Pump, pipe: Pipe, x: np.ndarray, own_first: bool = True, sent: int | None = None) -> int:
    """Add the next piece that comes to the beginning of ``x``; how many bytes.

    ``sent``: the piece as it was has to leave first: it was put when the pipe had queued this many bytes. The order
    of a sum's two sides matters only for NaNs, whose bits are those of the first one.
    """
    view = pump.borrow(pipe, x.nbytes)
    n_bytes = len(view)
    if sent is not None:
        pump.flush(pipe, sent + n_bytes)
    came = np.frombuffer(view, x.dtype)
    mine = x[: len(came)]
    np.add(*((mine, came) if own_first else (came, mine)), out=mine)
    pipe.release(n_bytes)
    pump.meter.vector_received += n_bytes
    pump.lap("compute_s")
    return n_bytes
