"""ARFF, Weka's files: a header that says what every column is, then rows with commas between.

Source: the format's description, https://waikato.github.io/weka-wiki/formats_and_processing/arff_stable/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from foedus.core.errors import BadInput
from foedus.data.files import listed, read_bytes
from foedus.data.tables.arrow import Cells, Stored
from foedus.data.tables.files import NoRows, Reading, check_names, utf8
from foedus.data.tables.opened import Opened

MISSING = "?"
_TYPES: dict[str, Stored | None] = {
    "numeric": "number", "real": "number", "integer": "number", "string": "text", "date": None
}  # fmt: skip
_QUOTED = r"'(?:[^'\\]|\\.)*'|" + r'"(?:[^"\\]|\\.)*"'
_ATTRIBUTE = re.compile(rf"@attribute\s+({_QUOTED}|[^\s{{]+)\s*(.+)", re.IGNORECASE)
_FIELD = re.compile(rf"\s*({_QUOTED}|(?!['\"])[^,]*?)\s*(?:,|$)")
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Attribute:
    """A column, and what the header says of it. ``values`` are all that a nominal one may have, or None."""

    name: str
    stored: Stored | None
    values: frozenset[str] | None = None


def read_arff(path: Path, reading: Reading, keep: Callable[[str], bool]) -> Opened:
    """The columns whose names are to be kept.

    Errors: ``BadInput`` with the line, for what is no ARFF, rows that are sparse or of another length than the header
    says, and values that a nominal column does not declare.
    """
    text = utf8(path, read_bytes(path), reading.encoding).decode()
    lines = ((i, line.strip()) for i, line in enumerate(text.split("\n"), 1))
    told = ((i, line) for i, line in lines if line and not line.startswith("%"))
    attributes = _header(path, told)
    check_names(path, [a.name for a in attributes])
    kept = [(i, a) for i, a in enumerate(attributes) if keep(a.name)]
    columns: list[list[str | None]] = [[] for _ in kept]
    places: list[int] = []
    for number, line in told:
        values = _values(line, f"line {number} of {path}")
        if len(values) != len(attributes):
            raise BadInput(
                f"line {number} of {path} has {len(values)} values, the header {len(attributes)} attributes: mend the "
                "line, or quote a value that holds a comma"
            )
        for column, (i, a) in zip(columns, kept, strict=True):
            value = values[i]
            if a.values is not None and value is not None and value not in a.values:
                raise BadInput(
                    f"column {a.name}: {value!r} in line {number} of {path} is none of the values that its header "
                    f"declares, {listed(sorted(a.values), 6)}"
                )
            column.append(value)
        places.append(number)
    if not places:
        raise NoRows(path)
    cells = {a.name: Cells.of(column, reading, a.stored) for column, (_, a) in zip(columns, kept, strict=True)}
    return Opened([a.name for a in attributes], cells, lambda row: f"line {places[row]} of {path}")


def _header(path: Path, told: Iterator[tuple[int, str]]) -> list[Attribute]:
    """The attributes; what is left of ``told`` are the rows."""
    attributes: list[Attribute] = []
    for number, line in told:
        place = f"line {number} of {path}"
        word = line.split(None, 1)[0].lower()
        if word == "@data":
            if not attributes:
                raise BadInput(f"{path} has no @attribute before its @data: it says of no column what it is")
            return attributes
        if word == "@attribute":
            attributes.append(_attribute(line, place))
        elif word != "@relation":
            raise BadInput(f"{place} is no ARFF: expected @relation, @attribute or @data, got {line[:40]!r}")
    raise BadInput(f"{path} has no line @data: an ARFF file has a header, @data, then rows")


def _attribute(line: str, place: str) -> Attribute:
    match = _ATTRIBUTE.fullmatch(line)
    if match is None:
        raise BadInput(f"{place} is no attribute: expected @attribute NAME TYPE, got {line[:60]!r}")
    name, kind = _plain(match[1]), match[2].strip()
    if kind.startswith("{"):
        if not kind.endswith("}"):
            raise BadInput(f"{place}: the values of attribute {name} have no }} at their end")
        values = frozenset(v for v in _values(kind[1:-1], place, nominal=True) if v is not None)
        return Attribute(name, "category", values)
    word = kind.split()[0].lower()
    if word not in _TYPES:
        raise BadInput(
            f"{place}: attribute {name} is of type {kind[:40]!r}; what is read is numeric, real, integer, string, date "
            "and {a, b}"
        )
    return Attribute(name, _TYPES[word])


def _values(line: str, place: str, nominal: bool = False) -> list[str | None]:
    """The values of a row; None where one is missing."""
    if line.startswith("{") and not nominal:
        raise BadInput(
            f"{place} is sparse ({{place value, ...}}), which is not read: save it dense, in Weka by the filter "
            "SparseToNonSparse"
        )
    if "'" not in line and '"' not in line:
        return [None if (v := value.strip()) in ("", MISSING) else v for value in line.split(",")]
    values: list[str | None] = []
    at = 0
    while at <= len(line):
        field = _FIELD.match(line, at)
        if field is None:
            raise BadInput(f"{place}: a quote is never closed, or text follows one: {line[at : at + 40]!r}")
        values.append(None if field[1] in ("", MISSING) else _plain(field[1]))
        if not field[0].endswith(","):
            break
        at = field.end()
    return values


def _plain(word: str) -> str:
    """A word without its quotes, escapes resolved."""
    quoted = len(word) > 1 and word[0] == word[-1] and word[0] in "'\""
    return _ESCAPE.sub(r"\1", word[1:-1]) if quoted else word
