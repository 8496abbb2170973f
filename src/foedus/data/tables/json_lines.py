"""JSON lines: a line is an object, a row, whose keys are the names of columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foedus.core.errors import BadInput
from foedus.data.files import read_bytes
from foedus.data.tables.advice import drop
from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Reading, check_names, utf8
from foedus.data.tables.opened import Opened


def read_json_lines(path: Path, reading: Reading, keep: Callable[[str], bool]) -> Opened:
    """The columns whose names are to be kept. A key that a line lacks, and null, are missing; blank lines are no rows.

    Errors: ``BadInput`` with the line, for one that is no JSON or no object, and for lists and objects in a column.
    """
    text = utf8(path, read_bytes(path), reading.encoding).decode()
    columns: dict[str, list[Any]] = {}
    names: dict[str, None] = {}
    lines: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = _row(line, f"line {number} of {path}", number == 1)
        for name, value in row.items():
            names.setdefault(name)
            if keep(name):
                if isinstance(value, dict | list):
                    kind = "an object" if isinstance(value, dict) else "a list"
                    where = f"line {number} of {path}"
                    raise BadInput(f"column {name}: {where} holds {kind}, neither a number nor text: ", drop(name))
                columns.setdefault(name, [None] * len(lines)).append(value)
        lines.append(number)
        for values in columns.values():
            if len(values) < len(lines):
                values.append(None)
    if not lines:
        raise BadInput(f"{path} is empty: JSON lines has an object a line, and each is a row")
    check_names(path, list(names))
    return Opened(
        list(names),
        {name: Cells.typed(values, reading) for name, values in columns.items()},
        lambda row: f"line {lines[row]} of {path}",
    )


def _row(line: str, place: str, is_first: bool) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as e:  # a number of thousands of digits is a ValueError, too
        reason = getattr(e, "msg", None) or str(e).partition(";")[0]
        whole = ": is the file one JSON document of many lines? Then convert it" if is_first and line[0] in "[{" else ""
        raise BadInput(f"{place} is not JSON: {reason}{whole}") from e
    if not isinstance(row, dict):
        raise BadInput(f'{place} is no object: JSON lines has an object a line, such as {{"age": 50}}')
    if "\\u" in line:
        for word in (*row, *row.values()):
            if isinstance(word, str) and ("\0" in word or any("\ud800" <= c <= "\udfff" for c in word)):
                raise BadInput(f"{place} has a text with NUL or half a character in it: {word!a}; mend it")
    return row
