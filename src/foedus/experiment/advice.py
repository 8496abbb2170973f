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


def in_file(option: Option, raw: Mapping[str, Any], at: str) -> str:
    """As a line of a file whose tables are ``raw``; the table is named where it is not ``at``.

    A list keeps what the file has in it.

    >>> in_file(Option("drop", ["x"]), {"data": {"drop": ["a"]}}, "data")
    'drop = ["a", "x"]'
    >>> in_file(Option("wire", "sockets", "runtime.processes"), {}, "data")
    'wire = "sockets" under [runtime.processes]'
    """
    under = f" under [{option.table}]" if option.table and option.table.split(".")[0] != at else ""
    return f"{key(option.name)} = {inline(_value(option, raw))}{under}"


def in_set(option: Option, raw: Mapping[str, Any]) -> str:
    """As an argument of a command that takes --set.

    >>> in_set(Option("drop", ["x"]), {})
    "--set 'data.drop=[\\"x\\"]'"
    """
    where = f"{option.table}." if option.table else ""
    return f"--set {shlex.quote(visible(f'{where}{key(option.name)}={inline(_value(option, raw))}'))}"


def _value(option: Option, raw: Mapping[str, Any]) -> Any:
    """The value as TOML has it: with what a list has already, and a word for None."""
    value = option.value
    if isinstance(value, list):
        there: Any = raw
        for name in (*filter(None, option.table.split(".")), option.name):
            there = next((v for k, v in there.items() if plain_name(k) == plain_name(name)), {}) if isinstance(
                there, Mapping
            ) else {}  # fmt: skip
        before = there if isinstance(there, list) else [there] if isinstance(there, str) else []
        return [*before, *(v for v in value if v not in before)]
    return NONE if value is None else list(value) if isinstance(value, tuple) else value
