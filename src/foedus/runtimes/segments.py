"""Shared memory without names. A segment is an unlinked file that lives as long as somebody maps it, so that whatever
way a process ends, nothing is left behind.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from foedus.core.errors import WorkerError

ALIGN = 64
_SMALLEST = 1 << 16
_LARGE = 1 << 20
_FIRST, _MOST = 1 << 22, 1 << 26
"""Bytes of the first segment that blocks are cut from, and of the largest."""

Spec = tuple[int, list[int], str]
"""Offset, shape and dtype name of a tensor in a segment."""


class Segment:
    """A mapped piece of shared memory, of this process's making or received from another as a descriptor."""

    def __init__(self, id: int, nbytes: int, fd: int | None = None) -> None:
        self.id, self.nbytes = id, nbytes
        if fd is None:
            fd = _anonymous_file()
            try:
                # Reserve the memory now: a full machine is an error here instead of a SIGBUS at some later write.
                os.posix_fallocate(fd, 0, nbytes) if hasattr(os, "posix_fallocate") else os.ftruncate(fd, nbytes)
            except OSError as e:
                os.close(fd)
                raise WorkerError(f"no room for {nbytes / 1e6:.0f} MB of shared memory: {e.strerror}") from e
        self.fd = fd
        self.map = mmap.mmap(fd, nbytes)

    def close(self) -> None:
        """Give up the descriptor; the memory goes when the last tensor in it does."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def base(self) -> tuple[Tensor, np.ndarray]:
        """The whole segment as bytes, and the object whose end means that no tensor in it is left."""
        owner = np.frombuffer(self.map, dtype=np.uint8)
        return torch.from_numpy(owner), owner

    def tensors(self, specs: Sequence[Spec], when_unused: Callable[[], None] | None = None) -> list[Tensor]:
        """Views of the tensors in it; ``when_unused`` is called when the last of them is gone."""
        base, owner = self.base()
        if when_unused is not None:
            weakref.finalize(owner, when_unused).atexit = False
        return [view(base, spec) for spec in specs]


class Block:
    """A part of a segment, in use or free for use again."""

    __slots__ = ("id", "nbytes", "segment", "start")

    def __init__(self, id: int, segment: Segment, start: int, nbytes: int) -> None:
        self.id, self.segment, self.start, self.nbytes = id, segment, start, nbytes


class SegmentPool:
    """Blocks of shared memory of this process's making, kept for use again.

    Blocks are cut from segments that grow with what was needed so far: a descriptor for every block would run into the
    system's limit with some hundreds of messages in flight. Sizes are powers of two up to 1 MB, then whole megabytes.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[Block]] = {}
        self._segments: list[Segment] = []
        self._blocks: list[Block] = []
        self._current: Segment | None = None
        self._cut = 0

    def acquire(self, nbytes: int, exactly: bool = False) -> Block:
        """A block with room for that many bytes; ``exactly``: in a segment of its own, for what stays."""
        if exactly:
            return self._block(self._segment(max(nbytes, _SMALLEST)), 0, nbytes)
        if nbytes > _LARGE:
            size = (nbytes + _LARGE - 1) // _LARGE * _LARGE
        else:
            size = max(_SMALLEST, 1 << max(0, nbytes - 1).bit_length())
        free = self._free.get(size)
        if free:
            return free.pop()
        if self._current is None or self._cut + size > self._current.nbytes:
            grown = _FIRST if self._current is None else 2 * self._current.nbytes
            self._current, self._cut = self._segment(max(size, min(grown, _MOST))), 0
        block = self._block(self._current, self._cut, size)
        self._cut += size
        return block

    def _segment(self, nbytes: int) -> Segment:
        segment = Segment(len(self._segments), nbytes)
        self._segments.append(segment)
        return segment

    def _block(self, segment: Segment, start: int, nbytes: int) -> Block:
        block = Block(len(self._blocks), segment, start, nbytes)
        self._blocks.append(block)
        return block

    def release(self, block: Block) -> None:
        """Nobody reads it any more."""
        self._free.setdefault(block.nbytes, []).append(block)

    def by_id(self, id: int) -> Block:
        """A block of this pool."""
        return self._blocks[id]

    def close(self) -> None:
        """Give up all descriptors."""
        for segment in self._segments:
            segment.close()
        self._segments.clear()
        self._blocks.clear()
        self._free.clear()


def room(tensors: Sequence[Tensor]) -> int:
    """Bytes that these tensors take in a block."""
    return sum(_padded(t.numel() * t.element_size()) for t in tensors)


def write(block: Block, tensors: Sequence[Tensor]) -> list[Spec]:
    """Copy tensors into a block, each at an aligned offset; their places in the block's segment."""
    base, _ = block.segment.base()
    specs: list[Spec] = []
    at = block.start
    for t in tensors:
        spec: Spec = (at, list(t.shape), str(t.dtype).removeprefix("torch."))
        view(base, spec).copy_(t)
        specs.append(spec)
        at += _padded(t.numel() * t.element_size())
    return specs


def view(base: Tensor, spec: Spec) -> Tensor:
    """The tensor at a place in a segment."""
    at, shape, name = spec
    dtype: torch.dtype = getattr(torch, name)
    count = math.prod(shape)
    return base[at : at + count * dtype.itemsize].view(dtype).view(shape)


def _padded(nbytes: int) -> int:
    return (nbytes + ALIGN - 1) // ALIGN * ALIGN


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("foedus", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(prefix="foedus-") as f:
        return os.dup(f.fileno())
