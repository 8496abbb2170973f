"""Which configurations with import paths this user has run on this machine.

A run's folder names code, and to go on with it, or to reproduce it, runs that code. Whether the folder was made here no
folder can say of itself: it may be a copy of somebody else's. So the user's own state directory has a list of SHA-256
digests, one a line, of every configuration with import paths that was begun here. What a folder says is looked up
there. A configuration holds the absolute folder of its modules, so the same digest means the same code's place.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

LIST = "made-here"


def remember(*configurations: bytes) -> None:
    """Note that these were begun here. Where nothing can be noted, going on with them will ask."""
    new = [d for d in map(_digest, configurations) if not _noted(d)]
    for folder in _folders():
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _own(folder):
                continue
            fd = os.open(folder / LIST, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write("".join(f"{d}\n" for d in dict.fromkeys(new)))
            return


def made_here(configuration: bytes) -> bool:
    """Whether this was begun here."""
    return _noted(_digest(configuration))


def _noted(digest: str) -> bool:
    for folder in _folders():
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if _own(folder) and digest in (folder / LIST).read_text(encoding="ascii").split("\n"):
                return True
    return False


def _digest(configuration: bytes) -> str:
    return hashlib.sha256(configuration).hexdigest()


def _folders() -> Iterator[Path]:
    """The user's state directory (XDG Base Directory Specification), then one that is there without a home as well."""
    with contextlib.suppress(RuntimeError):  # nobody knows where home is
        given = os.environ.get("XDG_STATE_HOME", "")
        yield (Path(given) if os.path.isabs(given) else Path("~/.local/state").expanduser()) / "foedus"
    yield Path(tempfile.gettempdir()) / f"foedus-{os.getuid()}"


def _own(folder: Path) -> bool:
    """Whether the folder is this user's, and nobody else can write to it. Errors: ``OSError``."""
    found = folder.lstat()
    return found.st_uid == os.getuid() and not found.st_mode & 0o022
