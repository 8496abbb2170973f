"""Appended: a file to whose end every commit adds, and how a checkpoint says which part of it is its own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from foedus.core.records.atomic import write_atomically


class Mark(msgspec.Struct, frozen=True):
    """The part of such a file that belongs to a commit: its first ``size`` bytes, by their digest.

    ``last`` is what they end with, if whoever holds the mark shall be able to put that back.
    """

    size: int
    digest: str
    last: str = ""


class Appended:
    """A file that grows. Of what is in it only what was appended here, or found and checked, counts.

    ``remembers``: whether a mark can put back what was appended since the one before.
    """

    def __init__(self, path: Path, remembers: bool = False) -> None:
        self.path = path
        self.size = 0
        self._known = False
        """Whether what counts has been said: until then all of the file is left as it is."""
        self._seen = _hash()
        self._remembers = remembers
        self._last = b""

    def begin(self, data: bytes) -> None:
        """Let the file be this and no more."""
        write_atomically(self.path, data)
        self.size, self._last, self._known = 0, b"", True
        self._seen = _hash()
        self._take(data)

    def found(self, data: bytes) -> None:
        """The file begins with this, as was checked. What follows is cut off by the next ``append`` or ``cut``."""
        self._known = True
        self._take(data)

    def append(self, data: bytes) -> None:
        """Add to the end, flushed to the disk. Half of it that an attempt before left is written over."""
        with open(self.path, "r+b") as f:
            f.truncate(self.size)
            f.seek(self.size)
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        if self._remembers:
            self._last += data
        self._take(data)

    def cut(self) -> None:
        """Take away what does not count."""
        if self._known and self.path.stat().st_size > self.size:
            os.truncate(self.path, self.size)

    def mark(self) -> Mark:
        """For a checkpoint of what there is now."""
        return Mark(self.size, self._seen.hexdigest(), self._last.decode())

    def kept(self) -> None:
        """A checkpoint with the last mark is on the disk."""
        self._last = b""

    def _take(self, data: bytes) -> None:
        self._seen.update(data)
        self.size += len(data)


def read(path: Path, mark: Mark) -> bytes:
    """The part of a file that a mark is of, its end put back if that is not there.

    Errors: ``ValueError`` that says what is wrong with the file.
    """
    found = path.read_bytes()[: mark.size] if path.exists() else b""
    last = mark.last.encode()
    for data in (found, found[: mark.size - len(last)] + last):
        if len(data) == mark.size and digest(data) == mark.digest:
            return data
    if not path.exists():
        raise ValueError("is missing")
    if len(found) < mark.size - len(last):
        raise ValueError(f"has {len(found)} bytes, of which the checkpoint was written after {mark.size}")
    raise ValueError("was changed: it is not what the checkpoint was written after")


def digest(data: bytes) -> str:
    """Of such a file's bytes, as in a mark."""
    seen = _hash()
    seen.update(data)
    return seen.hexdigest()


def _hash() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)
