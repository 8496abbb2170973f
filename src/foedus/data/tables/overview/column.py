"""One column, as a first look sees it: counts over all rows, and a sample of cells to guess by.

Legend: S sampled rows.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from os import cpu_count

import numpy as np
from numpy.typing import NDArray

from foedus.data.tables.arrow import Cells
from foedus.data.tables.read import Sheet
from foedus.data.tables.typed import are_dates, are_numbers, canonical

SAMPLE = 5_000
"""Rows of a table that guesses are made by, at most; what is counted is counted in all of them."""
COUNTED = 1_000
"""Of a column with more different values in the sample than this, they are not counted over all rows."""
EXAMPLES = 4


@dataclass(frozen=True)
class ColumnLook:
    """One column: ``kind`` is number, text, mixed (both), date or empty; ``examples`` are frequent values.

    ``distinct`` is the number of different values; or, where ``more``, of those that a sample of rows has.
    """

    name: str
    kind: str
    missing: int
    distinct: int
    examples: tuple[str, ...]
    more: bool = False

    @property
    def line(self) -> str:
        """All of it in one line."""
        missing = f", {self.missing:,} missing" if self.missing else ""
        over = "more than " if self.more else ""
        return f"{self.name}: {self.kind}, {over}{self.distinct:,} different{missing}: {', '.join(self.examples)}"


class Column:
    """A column of a sheet with N rows, of which S are sampled."""

    def __init__(self, name: str, cells: Cells, sampled: NDArray[np.int64] | None, decimal: str = ".") -> None:
        self.name, self.cells, self.rows, self.sampled, self.decimal = name, cells, len(cells), sampled, decimal
        self.sample = cells if sampled is None else cells.take(sampled)
        self.codes, self.words = self.sample.texts()
        self.seen = np.bincount(self.codes[self.codes >= 0], minlength=len(self.words))
        """How many sampled rows have each of the words."""
        self.whole = sampled is None
        """Whether the sample is all rows."""
        self.counts: dict[str, int] | None = None
        """Rows of each value over all rows; None where there are too many to be counted."""
        if self.whole:
            self.counts = dict(zip(self.words, self.seen.tolist(), strict=True))
        elif len(self.words) <= COUNTED:
            self.counts = cells.counts(10 * COUNTED)
        self.missing = self.rows - sum(self.counts.values()) if self.counts is not None else cells.gaps()

    @cached_property
    def kind(self) -> str:
        """number, text, mixed (mostly numbers), date or empty."""
        if not self.words:
            return "empty"
        if self.sample.dated or are_dates(self.words):
            return "date"
        if self.cells.declared:
            return "text"
        numbers = are_numbers(self.words)
        if numbers == len(self.words):
            return "number"
        rows = sum(int(n) for w, n in zip(self.words, self.seen, strict=True) if are_numbers([w])) if numbers else 0
        return "mixed" if rows * 2 > self.seen.sum() else "text"

    @cached_property
    def numbers_S(self) -> NDArray[np.float64]:
        """The sampled cells as numbers, NaN where there is none."""
        if self.kind == "number":
            by_word = np.array(self.words, np.str_).astype(np.float64)
        else:
            by_word = np.array([float(w) if are_numbers([w]) else np.nan for w in self.words], np.float64)
        return np.append(by_word, np.nan)[self.codes]

    @cached_property
    def labels_S(self) -> NDArray[np.int64]:
        """The sampled cells as places in the list of their different values in one spelling, -1 where missing."""
        if self.kind == "number":
            _, place = np.unique(np.append(self.numbers_S, np.nan), return_inverse=True)
            place = place.reshape(-1)[:-1]
            return np.where(np.isnan(self.numbers_S), -1, place)
        places: dict[str, int] = {}
        by_word = [places.setdefault(canonical(w), len(places)) for w in self.words]
        return np.array([*by_word, -1], np.int64)[self.codes]

    @cached_property
    def _plain(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def distinct(self) -> int:
        """Different values, in one spelling, of all rows, or of the sample where they are not counted."""
        words = list(self.words if self.counts is None else self.counts)
        if self.kind == "number":
            return len({float(w) for w in words if w in self._plain or are_numbers([w])})
        return len({canonical(w) for w in words}) if self.kind == "text" else len(words)

    @property
    def few(self) -> bool:
        """Whether it may be labels: two to twenty different values."""
        return self.kind in ("number", "text") and self.counts is not None and 2 <= self.distinct <= 20

    @cached_property
    def whole_numbers(self) -> bool:
        """Whether all its cells are whole numbers."""
        known = self.numbers_S[~np.isnan(self.numbers_S)]
        return self.kind == "number" and bool((known == np.floor(known)).all())

    @cached_property
    def unique(self) -> bool:
        """Whether no two rows have the same, where there is something."""
        if not self.whole:
            if len(self.words) < (self.codes >= 0).sum():
                return False  # the sample has one twice
            return self.cells.all_different()
        return len(self.words) == self.rows - self.missing and self.rows > 1

    def about(self) -> ColumnLook:
        """What there is to tell of it."""
        often = np.argsort(-self.seen, kind="stable")[:EXAMPLES]
        examples = tuple(self.words[i][:40] for i in often)
        return ColumnLook(self.name, self.kind, self.missing, self.distinct, examples, self.counts is None)

    def having(self, words: list[str]) -> int:
        """How many of all rows have one of these values."""
        if self.counts is not None:
            return sum(self.counts.get(w, 0) for w in words)
        return self.cells.having(words)


def columns_of(sheet: Sheet, decimal: str) -> list[Column]:
    """The columns of a sheet, whose amounts have this decimal mark. The sample is the same rows of each."""
    sampled = None
    if sheet.rows > 2 * SAMPLE:
        sampled = np.sort(np.random.default_rng(0).choice(sheet.rows, SAMPLE, replace=False)).astype(np.int64)
    names = list(sheet.cells)
    made: Callable[[str], Column] = lambda name: Column(name, sheet.cells[name], sampled, decimal)  # noqa: E731
    if sampled is None:
        return [made(n) for n in names]
    with ThreadPoolExecutor(cpu_count() or 1) as pool:  # PyArrow computes without the interpreter's lock
        return list(pool.map(made, names))
