"""Nearby: which run's folder somebody may have meant who named a place that holds none."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from foedus.core.errors import closest

USUAL = Path("runs")
"""Where runs are written if no folder is named."""
_LISTED = 5


def instead(path: Path, marks: Sequence[str]) -> str:
    """What to name instead, as the end of an error.

    ``marks``  files by any of which a run's folder is known.
    """
    inside = _with_runs(path, marks)
    if inside:
        more = f" and {len(inside) - _LISTED} more" if len(inside) > _LISTED else ""
        return f"name one of those in it: {', '.join(map(str, inside[:_LISTED]))}{more}"
    name = path.stem if path.suffix == ".toml" else path.name
    for place in (path.parent, USUAL):
        there = {found.name: found for found in _with_runs(place, marks)}
        meant = closest(name, there)
        if meant is not None:
            return f"did you mean {there[meant]}?"
    return "name the folder that a run was written to"


def _with_runs(place: Path, marks: Sequence[str]) -> list[Path]:
    """Folders of runs in a folder, by name; none where it cannot be read."""
    with contextlib.suppress(OSError):
        return sorted(p for p in place.iterdir() if any((p / mark).is_file() for mark in marks))
    return []
