"""Whether a folder can be made at a place, which is asked before anything is computed; and why it can no longer be
written to, and what then is left of it."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from foedus.core.errors import BadInput, trouble
from foedus.core.records.lock import LOCK


def check_new_folder(path: Path, instead: str) -> None:
    """Errors: ``BadInput`` unless nothing but an empty folder is there, and one can be made. ``instead`` ends the error
    of a place that is taken: what else can be done.
    """
    place = path
    try:
        # Half a file, or the lock, of a process that was killed right at its start is nobody's.
        if path.exists() and (not path.is_dir() or any(p.suffix != ".tmp" and p.name != LOCK for p in path.iterdir())):
            raise BadInput(f"{path} already exists: {instead}")
        for place in (path, *path.absolute().parents):
            if place.is_symlink() and not place.exists():
                raise BadInput(
                    f"{path} cannot be created: {place} is a link to {os.readlink(place)}, which is not there; make "
                    "that folder, remove the link, or choose another place"
                )
            if place.exists():
                break
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            raise BadInput(f"{path} cannot be created: {place} is not a folder that can be written to; choose another")
        # Some folders, such as /proc, look as if they could be written to: only trying it tells.
        os.rmdir(tempfile.mkdtemp(prefix=".foedus-", dir=place))
    except OSError as e:
        raise BadInput(f"{path} cannot be created in {place}: {trouble(e)}") from e


def why_not_written(path: Path, e: OSError, commit: int) -> str:
    """What is said when a write to a run's folder failed. ``commit``: the last one that is whole there, 0 for none."""
    if not path.is_dir():
        lost = f", and commit {commit} with it" if commit else ""
        return f"{path} is no longer there{lost}: something removed or replaced it during the run; begin the run anew"
    kept = f"commit {commit} is kept there" if commit else "nothing could be kept"
    full = e.errno in (errno.ENOSPC, errno.EDQUOT)
    then = "make room, then resume the run" if full else "see to that, then resume the run"
    return f"{path} cannot be written to ({e.strerror or e}): {kept}; {then}"
