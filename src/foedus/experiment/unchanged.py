"""Unchanged: what goes on is the experiment that was begun, but for what somebody says is to be another."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

import msgspec

from foedus import saved
from foedus.core.errors import BadInput, plain_name
from foedus.core.records.appended import digest
from foedus.core.records.checkpoint import circumstances_in
from foedus.core.records.folder import ABOUT
from foedus.core.records.origin import MEANT, Circumstances
from foedus.core.version import __version__


def check_unchanged(folder: Path, config: str, meant: Collection[str] = ()) -> None:
    """Look whether a run's folder may be gone on with by this resolved file.

    It is compared with the one of the last checkpoint; or, where a run that was told to change it was ended before it
    had made one, with what that run has written. ``meant`` are names of settings (``program.fedavg.rounds``), or of
    tables of them, that may be others.

    Errors: ``BadInput`` that names every other setting that is not what it was.
    """
    before = circumstances_in(folder)
    if before.config is None:
        return
    then = msgspec.structs.replace(before, config=_written(folder) or before.config)
    now = Circumstances({"foedus": __version__}, config=config)
    changed = {k: v for k, v in then.changed(now).items() if not any(_within(k, m) or _within(m, k) for m in meant)}
    if changed:
        said = "; ".join(f"{name} was {was} and is {to} now" for name, (was, to) in changed.items())
        raise BadInput(
            f"{folder} was begun with other settings: {said}. Put back what was there ({saved.CONFIG} has them); to "
            f"change one from the next commit on, --set NAME=VALUE; or {MEANT}"
        )


def _within(name: str, table: str) -> bool:
    return f"{plain_name(name)}.".startswith(f"{plain_name(table)}.")


def _written(folder: Path) -> str | None:
    """``config.toml``, if it is what ``run.json`` says that foedus has written."""
    with contextlib.suppress(OSError, ValueError, BadInput):
        text = (folder / saved.CONFIG).read_text(encoding="utf-8")
        if (folder / ABOUT).exists() and saved.read_about(folder).config == digest(text.encode()):
            return text
    return None
