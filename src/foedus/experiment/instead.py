"""What a path is that was given where another was meant, and the command that takes it."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Literal

from foedus.core.errors import BadInput
from foedus.core.records.folder import ABOUT
from foedus.core.text import visible
from foedus.data.files import kind_of
from foedus.data.other_formats import other_format, refusal
from foedus.data.recognised import source_of
from foedus.data.tables.formats import FORMATS
from foedus.saved import STUDY

SHOWN = (*FORMATS, "npz")
"""Sources whose files ``foedus data`` shows as they are."""

What = Literal["experiment", "run", "data", "other"]


def what_is(path: Path) -> What | None:
    """Whether a path is an experiment's file, the folder of a run or of a comparison, data that a source reads, or a
    format that none does; None where nothing is known of it.
    """
    if path.is_dir():
        if any((path / name).is_file() for name in (ABOUT, STUDY)):
            return "run"
        return None if source_of(path) is None else "data"
    if path.suffix.lower() == ".toml" or _is_toml(path):
        return "experiment"
    if source_of(path) is not None:
        return "data"
    return None if other_format(path) is None else "other"


def check_is(wanted: What, path: Path) -> None:
    """Errors: ``BadInput`` for a path that is known to be something else than what is wanted, with what takes it."""
    found = what_is(path) if path.exists() else None
    if found is not None and found != wanted:
        raise BadInput(f"{path} {instead(path, found)}")


def instead(path: Path, found: What) -> str:
    """What it is, and the command that takes it."""
    name = shlex.quote(visible(str(path)))
    match found:
        case "experiment":
            return f"is an experiment: foedus run {name} runs it, foedus data {name} shows its data"
        case "run":
            return f"is the folder of a run: foedus show {name} shows it, foedus run --resume {name} goes on with it"
        case "data":
            shows = f", foedus data {name} shows what is in it" if source_of(path) in SHOWN else ""
            return f"is data ({source_of(path)}): foedus init {name} writes an experiment on it{shows}"
    return refusal(path).removeprefix(f"{path} ")


def _is_toml(path: Path) -> bool:
    """Whether a file with another ending is one all the same."""
    if kind_of(path) != "a file" or path.stat().st_size > 1 << 22:
        return False
    try:
        return bool(tomllib.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError):
        return False
