"""What sources that read files have in common."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from foedus.core.errors import BadInput
from foedus.data.memory import check_fits, check_packed, fitting

T = TypeVar("T")

GZIP = b"\x1f\x8b"
"""How a gzip begins."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def existing_file(path: Any, expected: str) -> Path:
    """The file, or ``BadInput`` that says what was expected."""
    file = _path(path)
    kind = kind_of(file)
    if kind != "a file":
        found = "is not a file" if kind is None else f"is {kind}, not a file"
        raise BadInput(f"{file} {found}: path must be {expected}")
    return file


def existing_folder(path: Any, expected: str) -> Path:
    """The folder, or ``BadInput`` that says what was expected."""
    folder = _path(path)
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder: path must be {expected}")
    return folder


def kind_of(path: Path) -> str | None:
    """``"a file"``, ``"a folder"``, ``"a device"``, ``"a pipe"``, ``"a socket"``; None for what is not there.

    Only a file has an end that is known before it is read.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: no name of a file
        return None
    return next((kind for is_it, kind in _KINDS if is_it(mode)), "a file")


def read_bytes(file: Path) -> bytes:
    """All bytes of a file, unpacked if it is a gzip.

    Errors: ``BadInput`` that names the file, for what is no file, cannot be read or unpacked, does not fit in memory,
    or unpacks to more than ``memory.packed_limit``.
    """
    if (kind := kind_of(file)) not in ("a file", None):
        raise BadInput(f"{file} is {kind}, not a file")
    try:
        with fitting(file), file.open("rb") as f:
            size = os.fstat(f.fileno()).st_size
            check_fits(file, size)
            is_packed = f.read(len(GZIP)) == GZIP
            f.seek(0)
            return _unpacked(file, size, gzip.GzipFile(fileobj=f)) if is_packed else f.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise BadInput(f"{file} is damaged, it cannot be unpacked: {e}; fetch it again") from e
    except OSError as e:
        raise BadInput(f"{file} cannot be read: {e.strerror or e}") from e


def _unpacked(file: Path, size: int, packed: gzip.GzipFile) -> bytes:
    whole = io.BytesIO()
    while piece := packed.read(1 << 20):
        whole.write(piece)
        check_packed(file, size, whole.tell())
    return whole.getvalue()


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names with commas between, the first few of them."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def naming(where: Path, make: Callable[[], T]) -> T:
    """What is made, or a ``BadInput`` that also names the file."""
    try:
        with fitting(where):
            return make()
    except BadInput as e:
        if str(e).startswith(str(where)):
            raise
        raise BadInput(f"{where}: ", *e.args) from e


def _path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise BadInput(f"path must be the name of a file or folder, got {path!r}")
    return Path(path).expanduser()
