"""The way back: an experiment as the file that says it, every field with its value."""

from __future__ import annotations

import datetime
import enum
import inspect
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import tomli_w

from foedus.core.errors import BadInput
from foedus.experiment.experiment import Experiment
from foedus.experiment.kinds import Call, Shape, parameters, shape
from foedus.experiment.names import NONE
from foedus.experiment.problems import Path, dotted
from foedus.experiment.tables import Tables
from foedus.experiment.user_code import import_path


def resolved(experiment: Experiment) -> dict[str, Any]:
    """The experiment's tables as a file holds them, with every field, defaults included.

    ``parse(to_toml(e)) == e``. Errors: ``BadInput`` for what a file cannot say, such as a lambda, with its place.
    """
    tables: dict[str, Any] = _fields(Tables, experiment.tables, ())
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
    s = shape(hint)
    if value is None:
        if not (s.none or s.anything):
            raise BadInput(f"{dotted(path)} is None, which its type does not allow, so a file cannot say it")
        return NONE
    if isinstance(value, enum.Enum):
        value = value.value
    if value == NONE and isinstance(value, str) and s.none:
        raise BadInput(f'{dotted(path)} is the text "{NONE}", which in a file means None: use another text')
    if isinstance(value, bool | int | float | str | datetime.date | datetime.time):
        return value
    if isinstance(value, FilePath):
        return str(value)
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if isinstance(value, list | tuple):
        hints = s.items if s.length == len(value) else (s.items or (Any,)) * len(value)
        return [plain(h, v, (*path, i)) for i, (h, v) in enumerate(zip(hints, value, strict=False))]
    if isinstance(value, Mapping):
        inner = Any if s.values is inspect.Parameter.empty else s.values
        return {str(k): plain(inner, v, (*path, str(k))) for k, v in value.items()}
    if isinstance(value, Call):
        return _call(value, path)
    if inspect.isfunction(value) or isinstance(value, type):
        return _import_path(value, path)
    return _object(s, value, path)


def _object(s: Shape, value: Any, path: Path) -> Any:
    if type(value) is s.direct:
        return _fields(type(value), value, path)
    known = {target: name for name, target in s.candidates().items() if isinstance(target, type)}
    name = known.get(type(value)) or _import_path(type(value), path)
    fields = _fields(type(value), value, (*path, name))
    return {name: fields} if fields else name


def _fields(cls: Any, value: Any, path: Path) -> dict[str, Any]:
    out = {}
    for name, p in parameters(cls).items():
        if name == "**":
            continue
        if not hasattr(value, name):
            raise BadInput(f"{dotted(path)} cannot be written: it takes {name}, but has no attribute of that name")
        out[name] = plain(p.hint, getattr(value, name), (*path, name))
    return out


def _call(call: Call, path: Path) -> Any:
    options = {}
    for name, value in call.options.items():
        takes = parameters(call.function)
        hint = takes[name if name in takes else "**"].hint
        if value is None and shape(hint).anything:
            continue  # a place that takes anything would read the word for None as a text; unsaid it is None
        options[name] = plain(hint, value, (*path, call.name, name))
    return {call.name: options} if options else call.name


def _import_path(target: Any, path: Path) -> str:
    try:
        return import_path(target)
    except BadInput as e:
        raise BadInput(f"{dotted(path)} cannot be written: {e}") from e
