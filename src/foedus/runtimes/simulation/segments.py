"""Shared memory without names. A segment is an unlinked file that lives as long as somebody maps it, so that whatever
way a process ends, nothing is left behind.
"""

from __future__ import annotations

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
        os.close(self.fd)

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


class SegmentPool:
    """Segments of this process's making, kept for use again, in powers of two up to 1 MB, then in whole megabytes."""

    def __init__(self) -> None:
        self._free: dict[int, list[Segment]] = {}
        self._all: list[Segment] = []

    def acquire(self, nbytes: int) -> Segment:
        """A segment with room for that many bytes."""
        if nbytes > _LARGE:
            size = (nbytes + _LARGE - 1) // _LARGE * _LARGE
        else:
            size = max(_SMALLEST, 1 << max(0, nbytes - 1).bit_length())
        free = self._free.get(size)
        if free:
            return free.pop()
        segment = Segment(len(self._all), size)
        self._all.append(segment)
        return segment

    def release(self, segment: Segment) -> None:
        """Nobody reads it any more."""
        self._free.setdefault(segment.nbytes, []).append(segment)

    def by_id(self, id: int) -> Segment:
        """A segment of this pool."""
        return self._all[id]

    def close(self) -> None:
        """Give up all descriptors."""
        for segment in self._all:
            segment.close()
        self._all.clear()
        self._free.clear()


def room(tensors: Sequence[Tensor]) -> int:
    """Bytes that these tensors take in a segment."""
    return sum(_padded(t.numel() * t.element_size()) for t in tensors)


def write(segment: Segment, tensors: Sequence[Tensor]) -> list[Spec]:
    """Copy tensors into a segment, each at an aligned offset."""
    base, _ = segment.base()
    specs: list[Spec] = []
    at = 0
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
    count = int(np.prod(shape, dtype=np.int64))
    return base[at : at + count * dtype.itemsize].view(dtype).view(shape)


def _padded(nbytes: int) -> int:
    return (nbytes + ALIGN - 1) // ALIGN * ALIGN


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("foedus", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(prefix="foedus-") as f:
        return os.dup(f.fileno())
