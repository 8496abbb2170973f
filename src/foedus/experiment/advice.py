"""How an option that an error advises is written: in an experiment's file, and on the command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from foedus.core.advice import Option
from foedus.core.errors import plain_name
from foedus.core.text import visible
from foedus.plain.names import NONE
from foedus.plain.toml import inline, key

ALL = "*"
"""The key of a table by columns that stands for all of them."""


def in_file(option: Option, raw: Mapping[str, Any], at: str) -> str:
    """As a line of a file whose tables are ``raw``; the table is named where it is not ``at``.

    Lists that are added to keep what the file has in them.

    >>> in_file(Option("drop", ["x"], adds=True), {"data": {"drop": ["a"]}}, "data")
    'drop = ["a", "x"]'
    >>> in_file(Option("wire", "sockets", "runtime.processes"), {}, "data")
    'wire = "sockets" under [runtime.processes]'
    """
    under = f" under [{option.table}]" if option.table and option.table.split(".")[0] != at else ""
    return f"{key(option.name)} = {inline(_value(option, raw))}{under}"


def in_set(option: Option, raw: Mapping[str, Any]) -> str:
    """As an argument of a command that takes --set.

    >>> print(in_set(Option("drop", ["x"]), {}))
    --set 'data.drop=["x"]'
    """
    where = f"{option.table}." if option.table else ""
    return f"--set {shlex.quote(visible(f'{where}{key(option.name)}={inline(_value(option, raw))}'))}"


def _value(option: Option, raw: Mapping[str, Any]) -> Any:
    """The value as TOML has it: joined to what is given already where it adds to that, and a word for None."""
    value = _toml(option.value)
    there = _given(option, raw) if option.adds else None
    if isinstance(value, list):
        return _joined(there, value)
    if isinstance(value, dict) and option.adds:
        before = there if isinstance(there, Mapping) else {} if there is None else {ALL: there}
        return {**before, **{k: _joined(before.get(k), v) if isinstance(v, list) else v for k, v in value.items()}}
    return value


def _given(option: Option, raw: Mapping[str, Any]) -> Any:
    """The value that the option has in a file; None if it has none."""
    there: Any = raw
    for name in (*filter(None, option.table.split(".")), option.name):
        named = there.items() if isinstance(there, Mapping) else ()
        there = next((v for k, v in named if plain_name(k) == plain_name(name)), None)
    return there


def _joined(before: Any, more: list[Any]) -> list[Any]:
    before = before if isinstance(before, list) else [] if before is None else [before]
    return [*before, *(v for v in more if v not in before)]


def _toml(value: Any) -> Any:
    return NONE if value is None else list(value) if isinstance(value, tuple) else value
