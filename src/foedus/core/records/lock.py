"""A folder has one writer at a time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a Unix system: nothing to lock with
    fcntl = None  # type: ignore[assignment]

from foedus.core.errors import BadInput

LOCK = "lock"


class FolderLock:
    """Held from ``acquire`` to ``release``. The system gives it up when its process ends, however that ends."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / LOCK
        self._fd: int | None = None

    def acquire(self) -> None:
        """Errors: ``BadInput`` that names the process that has the folder."""
        if fcntl is None or self._fd is not None:
            return
        while True:
            fd = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(fd, 32, 0).decode(errors="replace").strip()
                os.close(fd)
                raise BadInput(
                    f"{self._file.parent} is in use{f' by process {owner}' if owner else ''}: "
                    "wait until that run has ended, or choose another folder"
                ) from None
            # The one before may have removed the file after we had opened it: then this lock is nobody's.
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self._file).st_ino == os.fstat(fd).st_ino:
                    break
            os.close(fd)
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same, without a name in it
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Remove the file and give up the lock."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()
            os.close(self._fd)
            self._fd = None


def in_use(folder: Path) -> bool:
    """Whether a process is writing to the folder now."""
    if fcntl is None or not (folder / LOCK).exists():
        return False
    try:
        fd = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
