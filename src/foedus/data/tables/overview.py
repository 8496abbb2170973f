"""A first look at a table: what its columns hold, and a guess at which is what, with the reason for each guess."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from foedus.core.errors import BadInput
from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Paths, Reading, find
from foedus.data.tables.formats import SUFFIXES, format_of
from foedus.data.tables.read import Sheet, read
from foedus.data.tables.typed import are_dates, are_numbers, canonical

NODES = ("hospital", "site", "node", "client", "center", "centre", "bank", "institution", "clinic", "branch")
WEAK_NODES = ("device", "user", "writer", "owner", "region", "country", "store", "station")
TARGETS = ("target", "label", "class", "y", "outcome", "diagnosis", "disease", "response", "result", "default", "churn")
WEAK_TARGETS = ("price", "num", "survived", "died", "mortality", "fraud", "sales", "demand", "score", "quality")
IDS = ("id", "uuid", "index", "key", "mrn", "ssn", "identifier")


@dataclass(frozen=True)
class ColumnLook:
    """One column: ``kind`` is number, text, mixed (both), date or empty; ``examples`` are frequent values."""

    name: str
    kind: str
    missing: int
    distinct: int
    examples: tuple[str, ...]

    @property
    def line(self) -> str:
        """All of it in one line."""
        missing = f", {self.missing:,} missing" if self.missing else ""
        return f"{self.name}: {self.kind}, {self.distinct:,} different{missing}: {', '.join(self.examples)}"


@dataclass(frozen=True)
class Guess:
    """A column, and why it is taken for what it is taken for."""

    name: str
    why: str


@dataclass(frozen=True)
class Look:
    """What is in a table. ``source`` is its format (``"csv"``); ``options`` are those for ``load(source, ...)``."""

    path: Any
    source: str
    files: tuple[str, ...]
    rows: int
    columns: tuple[ColumnLook, ...]
    target: Guess
    node: Guess | None
    drop: tuple[Guess, ...]

    @property
    def options(self) -> dict[str, Any]:
        """The guesses, as options of ``load``."""
        options: dict[str, Any] = {"path": self.path, "target": self.target.name}
        if self.node is not None:
            options["node"] = self.node.name
        if self.drop:
            options["drop"] = tuple(g.name for g in self.drop)
        return options

    @property
    def lines(self) -> list[str]:
        """What a person wants to read: the columns, then the guesses and their reasons."""
        files = self.files[0] if len(self.files) == 1 else f"{len(self.files)} files"
        found = [f"{files}: {self.rows:,} rows of {len(self.columns)} columns", *(c.line for c in self.columns)]
        found.append(f"target: {self.target.name}, {self.target.why}")
        if self.node is not None:
            found.append(f"node: {self.node.name}, {self.node.why}")
        elif len(self.files) > 1:
            found.append(f"node: the file, as there are {len(self.files)} of them and no column names a node")
        else:
            found.append("node: none found; divide the rows by a partition such as IID()")
        return found + [f"leave out: {g.name}, {g.why}" for g in self.drop]


def look(path: Paths, reading: Reading = Reading()) -> Look:
    """Read a table and say what its columns hold, which is to be learned, which names a node, which to leave out.

    All files are read as the first of them is. Errors: ``BadInput`` for what cannot be read.
    """
    form = format_of(find(path, SUFFIXES)[0])
    sheet = read(path, form, reading, {}, lambda name: True)
    columns = tuple(_column(name, cells) for name, cells in sheet.cells.items())
    if len(columns) < 2:
        raise BadInput(
            f"{sheet.parts[0].path} has a single column, {columns[0].name!r}: a table needs a target and something to "
            "learn it from; if its columns are divided by another character, say delimiter="
        )
    node = None if len(sheet.parts) > 1 and not _named(columns, NODES) else _node(columns, sheet.rows)
    target = _target([c for c in columns if node is None or c.name != node.name], sheet.rows)
    rest = [c for c in columns if c.name not in (target.name, node.name if node else None)]
    drop = tuple(Guess(c.name, why) for c in rest if (why := _useless(c, sheet)) is not None)
    files = tuple(str(p.path) for p in sheet.parts)
    return Look(path, form.source, files, sheet.rows, columns, target, node, drop)


def _column(name: str, cells: Cells) -> ColumnLook:
    codes, words = cells.texts()
    rows = np.bincount(codes[codes >= 0], minlength=len(words))
    missing = int((codes < 0).sum())
    numbers = are_numbers(words)
    if not words:
        kind = "empty"
    elif cells.dated or are_dates(words):
        kind = "date"
    elif numbers == len(words):
        kind = "number"
    else:
        numeric = sum(int(n) for w, n in zip(words, rows, strict=True) if are_numbers([w])) if numbers else 0
        kind = "mixed" if numeric * 2 > rows.sum() else "text"
    distinct = len({canonical(w) for w in words}) if kind == "text" else len(words)
    often = np.argsort(-rows, kind="stable")[:4]
    return ColumnLook(name, kind, missing, distinct, tuple(words[i][:40] for i in often))


def _tokens(name: str) -> list[str]:
    """``patientId`` and ``patient_id`` alike: patient, id."""
    return [t for t in re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()) if t]


def _named(columns: Any, known: tuple[str, ...]) -> list[Any]:
    """The columns one of whose words is known, those with the fewest words first, then in the order of the words."""

    def rank(c: ColumnLook) -> tuple[int, int] | None:
        tokens = _tokens(c.name)
        places = [known.index(t) for t in tokens if t in known]
        return (len(tokens), min(places)) if places else None

    found = [(r, i) for i, c in enumerate(columns) if (r := rank(c)) is not None]
    return [columns[i] for _, i in sorted(found)]


def _node(columns: tuple[ColumnLook, ...], rows: int) -> Guess | None:
    for names in (NODES, WEAK_NODES):
        for c in _named(columns, names):
            if c.kind in ("text", "number") and not c.missing and 2 <= c.distinct <= max(2, rows // 2):
                return Guess(c.name, f"as its name says so and it has {c.distinct} values")
    return None


def _target(columns: list[ColumnLook], rows: int) -> Guess:
    able = [c for c in columns if c.kind in ("text", "number") and c.distinct >= 2 and not _is_id(c, rows)]
    for names in (TARGETS, WEAK_TARGETS):
        for c in _named(able, names):
            if c.kind == "number" or c.distinct <= 100:
                return Guess(c.name, f"as its name says so; it has {c.distinct} different values")
    last = (able or columns)[-1]
    return Guess(last.name, "as it is the last column and no name says what is to be learned")


def _is_id(c: ColumnLook, rows: int) -> bool:
    named = bool(set(_tokens(c.name)) & set(IDS))
    return c.distinct == rows - c.missing and rows > 1 and (named or c.kind == "text")


def _useless(c: ColumnLook, sheet: Sheet) -> str | None:
    if c.kind == "empty":
        return "as it has no value at all"
    if c.kind == "date":
        return "as it holds dates, which are no numbers until they are made into some"
    if _is_id(c, sheet.rows):
        return "as it is different in every row: it tells rows apart and teaches nothing"
    if c.kind == "text" and c.distinct > 50 and c.distinct * 2 > sheet.rows - c.missing:
        return f"as it is text with {c.distinct:,} different values"
    if c.distinct == 1 and not c.missing:
        return "as it is the same in every row"
    return None
