"""The way back: an experiment as the file that says it, every field with its value."""

from __future__ import annotations

from typing import Any

import tomli_w

from foedus.experiment.experiment import Experiment
from foedus.experiment.known import known
from foedus.experiment.tables import Tables
from foedus.experiment.user_code import import_path
from foedus.plain.places import Path
from foedus.plain.write import Writer


class FileWriter(Writer):
    """Writes what a file says. What foedus does not have is the user's own, by its import path."""

    def name(self, target: Any) -> str:
        return import_path(target)


def resolved(experiment: Experiment) -> dict[str, Any]:
    """The experiment's tables as a file holds them, with every field, defaults included.

    ``parse(to_toml(e)) == e``. Errors: ``BadInput`` for what a file cannot say, such as a lambda, with its place.
    """
    tables = FileWriter(known()).fields(Tables, experiment.tables, ())
    for key in ("stop", "track"):  # where each has another name, as tables: that is how one writes them
        names = [next(iter(e)) if isinstance(e, dict) else e for e in tables[key]]
        if len(set(names)) == len(names):
            tables[key] = {n: e[n] if isinstance(e, dict) else {} for n, e in zip(names, tables[key], strict=True)}
    first = ("name", "seed", "folder")  # TOML wants a table's plain values before its tables
    return {k: tables[k] for k in (*first, *(k for k in tables if k not in first))}


def to_toml(experiment: Experiment) -> str:
    """The experiment as the text of a file; see ``resolved``."""
    return tomli_w.dumps(resolved(experiment))


def plain(hint: Any, value: Any, path: Path) -> Any:
    """What a file says for this value in a field with this annotation."""
    return FileWriter(known()).plain(hint, value, path)
