"""Tree all-reduce: up a binomial tree to rank 0, and down again.

In step k, the ranks r with r mod 2^(k+1) = 2^k give what they have to r - 2^k, which joins its own, the left one, with
what comes, the right one: the order of ``MergeTree`` with one block a rank, so that the bits are those
of a simulation. About 2 log2(n) messages one after the other where a ring has 2 (n - 1); but rank 0 sends and receives
log2(n) whole vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from foedus.core.types.trees import flatten, unflatten
from foedus.runtimes.processes.collectives.frames import OTHER, Frame, Framed, check, kind_of, read_head
from foedus.runtimes.processes.collectives.pipes import PIECE, Pipe, Pump
from foedus.runtimes.processes.collectives.ring import add, as_array

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def parent_of(rank: int) -> int | None:
    """Whom a rank gives its part to.

    >>> [parent_of(r) for r in range(8)]
    [None, 0, 0, 2, 0, 4, 4, 6]
    """
    return rank & (rank - 1) if rank else None


def children_of(rank: int, ranks: int) -> list[int]:
    """Whose parts a rank joins with its own, in this order.

    >>> children_of(0, 6), children_of(4, 6)
    ([1, 2, 4], [5])
    """
    steps = range(ranks.bit_length())
    return [rank + 2**k for k in steps if rank % 2 ** (k + 1) == 0 and rank + 2**k < ranks]


class Tree(Framed):
    """Sums and merges over a binomial tree."""

    def __init__(self, rank: int, ranks: int, pipes: dict[int, Pipe], pump: Pump) -> None:
        super().__init__(rank, ranks, pipes, pump)
        parent = parent_of(rank)
        self._parent = None if parent is None else pipes[parent]
        self._children = [pipes[c] for c in children_of(rank, ranks)]

    def all_reduce(self, vector: Tensor, note: bytes = b"") -> list[bytes]:
        x = as_array(vector)
        if self.ranks == 1:
            return [note]
        try:
            with np.errstate(all="ignore"):  # as in a ring
                return self._reduce(x, note)
        except BaseException:
            self.close()
            raise

    def all_merge(self, acc: Any, note: bytes, merge: Callable[[Any, Any], Any]) -> tuple[Any, list[bytes]]:
        if self.ranks == 1:
            return acc, [note]
        try:
            return self._merge(acc, note, merge)
        except BaseException:
            self.close()
            raise

    def _reduce(self, x: np.ndarray, note: bytes) -> list[bytes]:
        pump, raw = self.pump, x.view(np.uint8).data
        pump.start()
        self.calls += 1
        frame = Frame(self.calls, kind_of(str(x.dtype)), x.nbytes, b"")
        notes = [note]
        for child in self._children:
            came = read_head(pump, child)
            check(came, frame, child.peer)
            notes += _decode(came.note)
        # Rank 0 sends every piece down as soon as it has the sum.
        above = self._children if self._parent is None else [self._parent]
        self.put_frame(above, frame._replace(note=_encode(notes)))
        for at in range(0, len(x), PIECE // x.itemsize):
            piece = x[at : at + PIECE // x.itemsize]
            for child in self._children:
                done = 0
                while done < len(piece):
                    done += add(pump, child, piece[done:]) // x.itemsize
            self.put_more(above, raw[at * x.itemsize :][: piece.nbytes])
        if self._parent is not None:
            came = read_head(pump, self._parent)
            check(came, frame, self._parent.peer)
            notes = _decode(came.note)
            self.put_frame(self._children, came)
            self._pass_down(raw)
        pump.flush()
        return notes

    def _merge(self, acc: Any, note: bytes, merge: Callable[[Any, Any], Any]) -> tuple[Any, list[bytes]]:
        pump = self.pump
        pump.start()
        self.calls += 1
        expected = Frame(self.calls, OTHER, 0, b"")
        notes = [note]
        for child in self._children:
            came = read_head(pump, child)
            check(came, expected, child.peer)
            theirs, plain, specs = _decode(came.note)
            notes += theirs
            tensors = _room(specs)
            for t in tensors:
                self.get_more(child, _bytes(t))
            right = unflatten(plain, tensors)
            pump.lap("serial_s")
            if acc is None:
                acc = right
            elif right is not None:
                acc = merge(acc, right)
            pump.lap("compute_s")
        plain, tensors = flatten(acc)
        tensors = [t.contiguous() for t in tensors]
        above = self._children if self._parent is None else [self._parent]
        body = _encode([notes, plain, [[list(t.shape), str(t.dtype).removeprefix("torch.")] for t in tensors]])
        pump.lap("serial_s")
        nbytes = sum(t.nbytes for t in tensors)
        self.put_frame(above, Frame(self.calls, OTHER, nbytes, body))
        for t in tensors:
            self.put_more(above, _bytes(t))
        if self._parent is not None:
            came = read_head(pump, self._parent)
            check(came, expected, self._parent.peer)
            notes, plain, specs = _decode(came.note)
            self.put_frame(self._children, came)
            # What goes up is in memory of its own, so that the whole accumulator need not have left yet.
            tensors = _room(specs)
            for t in tensors:
                self._pass_down(_bytes(t))
        pump.flush()
        acc = unflatten(plain, tensors)  # at rank 0 too: all ranks hold values of the same types
        pump.lap("serial_s")
        return acc, notes

    def _pass_down(self, into: memoryview) -> None:
        assert self._parent is not None
        for at in range(0, len(into), PIECE):
            piece = into[at : at + PIECE]
            self.get_more(self._parent, piece)
            self.put_more(self._children, piece)


def _room(specs: list[Any]) -> list[Tensor]:
    return [torch.empty(shape, dtype=getattr(torch, name)) for shape, name in specs]


def _bytes(t: Tensor) -> memoryview:
    array: np.ndarray = t.reshape(-1).view(torch.uint8).numpy()
    return array.data
