"""``KEY=VALUE`` on a command line: a place in a file, and what is to stand there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from foedus.core.errors import BadInput
from foedus.core.text import readable


def parse_set(text: str) -> tuple[list[str], Any]:
    """The keys and the value of ``a.b=c``; the value is TOML, or else the text that it is.

    >>> parse_set("program.fedavg.local.lr=0.1")
    (['program', 'fedavg', 'local', 'lr'], 0.1)
    >>> parse_set('program."mine:Alg".name=fast one')
    (['program', 'mine:Alg', 'name'], 'fast one')
    """
    match = re.match(r"""((?:[^="']|"[^"]*"|'[^']*')*)=(.*)""", text, re.DOTALL)
    if match is None:
        raise BadInput("expected KEY=VALUE, such as program.fedavg.rounds=10")
    if readable(text) != text:
        raise BadInput("this is no UTF-8 text: write a path's other bytes as a file: URI, such as file:caf%E9.csv")
    key, value = match[1].strip(), match[2].strip()
    keys: list[str] = []
    try:
        table: Any = tomllib.loads(f"{key} = 0") if "\n" not in key else {}
    except tomllib.TOMLDecodeError:
        table = {}
    while isinstance(table, dict) and len(table) == 1:
        keys += table
        table = table[keys[-1]]
    if table != 0 or not keys:
        raise BadInput(f"{key!r} is no key: join names by dots, and put one with a colon or a dot in quotes")
    try:
        parsed = tomllib.loads(f"x = {value}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    return keys, parsed["x"] if list(parsed) == ["x"] else value


def of_data(sets: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What is set of a table that stands in ``[data]``, as options; and the sets of everything else.

    >>> of_data(["data.decimal=,", "evaluate.nodes=1"])
    ({'decimal': ','}, ['evaluate.nodes=1'])
    """
    options: dict[str, Any] = {}
    others = []
    for text in sets:
        keys, value = parse_set(text)
        if len(keys) == 2 and keys[0] == "data" and keys[1] not in ("source", "path"):
            options[keys[1]] = value
        else:
            others.append(text)
    return options, others
