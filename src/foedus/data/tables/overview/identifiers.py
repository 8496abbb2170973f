"""Columns that tell rows apart, or that say which rows belong to one person."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foedus.data.tables.overview.amounts import is_amount
from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.dependence import determines
from foedus.data.tables.overview.names import IDS, PEOPLE, says, tokens
from foedus.data.tables.overview.proposal import Proposal, Question

LEAST_ROWS = 5
"""Rows that a node should have, on average, to be one."""
_PREFIX = re.compile(r"([^\W\d_]+)([-_./ :]?)\d+|(\w+?)([-_./ :])\w+")


def is_id(c: Column) -> bool:
    """Whether it is different in every row, and no measurement: by its name, as text, or because it counts the rows."""
    if c.missing == c.rows or not c.unique:
        return False
    if c.kind == "text":
        return not is_amount(c)
    return c.kind == "number" and c.whole_numbers and (says(c.name, IDS | PEOPLE) or _counts_rows(c))


def _counts_rows(c: Column) -> bool:
    """Numbers that are given out one after the other: of those between the smallest and the largest, most are there."""
    return c.rows >= 20 and not c.missing and float(np.ptp(c.numbers_S)) < 1.5 * c.rows


def identifier(columns: Sequence[Column]) -> Proposal | None:
    """The column that is called an identifier and is one."""
    for c in columns:
        if says(c.name, IDS) and is_id(c) and not c.missing:
            return Proposal("id", c.name, "it is different in every row, as its name says: it teaches nothing")
    return None


def counts_within(c: Column, owner: Column) -> bool:
    """Whether it is different in every row of a node, and called so: every node counts its own rows."""
    if not c.whole or not (c.kind == "text" or c.whole_numbers) or not says(c.name, IDS | PEOPLE):
        return False
    there = (c.labels_S >= 0) & (owner.labels_S >= 0)
    pairs = np.stack([c.labels_S[there], owner.labels_S[there]], 1)
    return len(pairs) > 1 and len(np.unique(pairs, axis=0)) == len(pairs)


def group(columns: Sequence[Column], owner: Column | None, of_files: bool) -> Proposal | Question | None:
    """The column that says which rows are of one person or thing: it repeats, with some rows each.

    Where one of its values is at two nodes, it is asked whether each counts its own. ``owner``: the nodes, if known;
    ``of_files``: each file is one, and no column says so.
    """
    for c in columns:
        if not _repeats(c):
            continue
        words = set(tokens(c.name))
        named = words <= PEOPLE | IDS and (bool(words & PEOPLE) or c.kind == "text")
        others = [o for o in columns if o is not c and o.few]
        if named or (c.kind == "text" and any(determines(c, o) for o in others)):
            if owner is None or of_files or determines(c, owner):
                why = f"its {_many(c)} values repeat: rows of one are kept together"
                return Proposal("group", c.name, why)
            why = "values repeat, and some are at two nodes: does each node count its own?"
            return Question("group", ([owner.name, c.name],), why)
    return None


def _repeats(c: Column) -> bool:
    """Many values, of which the usual one has a few rows."""
    if c.kind not in ("text", "number") or (c.kind == "number" and not c.whole_numbers):
        return False
    there = c.rows - c.missing
    distinct = c.distinct if c.counts is not None else len(c.words)
    if c.unique or distinct <= 20 or not c.whole:
        return False
    return 1.2 * distinct <= there <= 50 * distinct


def _many(c: Column) -> str:
    return f"{'more than ' if c.counts is None else ''}{c.distinct:,}"


@dataclass(frozen=True)
class Coded:
    """A column of identifiers that begin with a few codes, and how many.

    ``written`` is the option that divides them off; None where there is none.
    """

    column: Column
    codes: int
    written: dict[str, str | int] | None


def prefixes(columns: Sequence[Column]) -> Coded | None:
    """A column of identifiers, of rows or of persons with some rows each, that begin with a few codes, as sites' do."""
    for c in columns:
        if c.kind != "text" or not (is_id(c) or (_repeats(c) and says(c.name, IDS | PEOPLE))):
            continue
        found = {w: (m[1] or m[3], m[2] or m[4] or "") for w in c.words if (m := _PREFIX.fullmatch(w)) is not None}
        if len(found) < 0.95 * len(c.words):
            continue
        codes: Counter[str] = Counter()
        for word, rows in zip(c.words, c.seen.tolist(), strict=True):
            if word in found:
                codes[found[word][0]] += rows
        if 2 <= len(codes) <= 200 and sum(n for n in codes.values() if n >= LEAST_ROWS) >= 0.9 * codes.total():
            return Coded(c, len(codes), _written(c, list(found.values())))
    return None


def _written(c: Column, found: list[tuple[str, str]]) -> dict[str, str | int] | None:
    """How all texts of a column are divided after their codes, each ``(code, mark)``; None where that differs."""
    marks, sizes = {mark for _, mark in found}, {len(code) for code, _ in found}
    if len(found) < len(c.words):
        return None
    if len(marks) == 1 and "" not in marks:
        return {"column": c.name, "before": marks.pop()}
    return {"column": c.name, "first": sizes.pop()} if len(sizes) == 1 else None
