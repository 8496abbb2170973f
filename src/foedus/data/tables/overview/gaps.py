"""Values that may stand for "not known": numbers far from a column's others, and words among numbers.

Legend: S sampled rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foedus.data.tables.overview.column import Column
from foedus.data.tables.typed import are_numbers, canonical

CODES = (0, -1, -9, -99, -999, -9999, 9, 99, 999, 9999, 99999)
"""Numbers that are written where nothing was measured."""
FAR = 5
"""A code lies far off if nothing is nearer to it than so many usual distances between neighbouring values."""
APART = 0.1
"""What is only more frequent than other values has to be so far from them, in their interquartile range."""
NOTHING = frozenset(
    (
        "none",
        "unknown",
        "unk",
        "nil",
        "missing",
        "nd",
        "tbd",
        "nan",
        "inf",
        "-inf",
        "x",
        "keine",
        "unbekannt",
        "inconnu",
    )
)
"""Words for what is not known."""
_BEYOND = re.compile(r"[<>≤≥]=?\s*\d.*")
MOST_WORDS = 5
"""A column of numbers in which more different words stand is no column of numbers with gaps."""


@dataclass(frozen=True)
class Gap:
    """``values`` of a column, as they stand there, that may be gaps; ``rows`` have one of them; ``why``."""

    name: str
    values: tuple[str, ...]
    rows: int
    why: str


def gap(c: Column) -> Gap | None:
    """What in a column may stand for nothing."""
    return _words(c) if c.kind == "mixed" else _codes(c) if c.kind == "number" else None


def _words(c: Column) -> Gap | None:
    words = [w for w in c.words if not are_numbers([w])]
    spellings = {canonical(w) for w in words}
    if len(spellings) > MOST_WORDS or not (all(map(_is_nothing, words)) or _are_remarks(c, words)):
        return None
    rows = c.having(words)
    one = len(spellings) == 1
    what = "1 word stands" if one else f"{len(spellings)} words stand"
    return Gap(c.name, tuple(words), rows, f"in {_rows(rows)} {what} among its numbers")


def _is_nothing(word: str) -> bool:
    """A sign, a word for what is not known, or a number beyond what was measured: ``.``, ``unknown``, ``<5``."""
    return canonical(word) in NOTHING or not any(map(str.isalnum, word)) or _BEYOND.fullmatch(word) is not None


def _are_remarks(c: Column, words: Sequence[str]) -> bool:
    """Whether words without a digit stand among many different numbers: "clotted" is no category of a measurement."""
    return c.distinct > 50 and not any(ch.isdigit() for w in words for ch in w)


def _codes(c: Column) -> Gap | None:
    values, counts = np.unique(c.numbers_S[~np.isnan(c.numbers_S)], return_counts=True)
    found = [float(code) for code in CODES if _far(float(code), values, counts)]
    if not found:
        return None
    words = [w for w in c.words if float(w) in found]
    rows = c.having(words)
    numbers = " and ".join(f"{v:g}" for v in found)
    return Gap(c.name, tuple(f"{v:g}" for v in found), rows, f"{numbers} {_stands(rows)}, far from all other values")


def _far(code: float, values: NDArray[np.float64], counts: NDArray[np.int64]) -> bool:
    """Whether a number stands apart from the others: beyond Tukey's fence, more often than any of them, or below zero
    where none of them is."""
    at = np.flatnonzero(values == code)
    if len(at) and code > 0 and counts[at[0]] < 2:
        return False  # one 9 or 99 is as well a value
    others, times = np.delete(values, at), np.delete(counts, at)
    codes = np.isin(others, CODES) & ((others < 0) | (others >= 99))  # a second code is not what is usual
    others, times = others[~codes], times[~codes]
    fewest = 3 if code == 0 else 2  # beside two values 0 is as well the third: no dose, a low one, a high one
    if not len(at) or len(others) < fewest:
        return False
    inside = others.min() < code < others.max()
    nearest = float(np.abs(others - code).min())
    usual = float(np.median(np.diff(others)))
    if inside or nearest < FAR * usual:
        return code < 0 and len(others) >= 5 and float(others.min()) >= 0 and counts[at[0]] > 1
    quarter, three = np.quantile(np.repeat(others, times), [0.25, 0.75])
    half = three - quarter
    beyond = code < quarter - 1.5 * half or code > three + 1.5 * half
    often = counts[at[0]] >= 5 * times.max() and nearest >= APART * half
    return bool(beyond or often or (code < 0 <= others.min() and counts[at[0]] > 1))


def _rows(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _stands(rows: int) -> str:
    return "stands in 1 row" if rows == 1 else f"stands in {rows:,} rows"


def where(c: Column, values: Sequence[str], node: Column) -> list[str]:
    """The nodes whose (sampled) rows have these values; none if half of all nodes or more have."""
    wanted = {float(v) for v in values if are_numbers([v])}
    rows_S = np.isin(c.numbers_S, list(wanted)) if wanted else np.zeros(len(c.codes), bool)
    rows_S |= np.isin(c.codes, [i for i, w in enumerate(c.words) if w in values])
    return at(rows_S, node)


def at(rows_S: NDArray[np.bool_], node: Column) -> list[str]:
    """The nodes that have these rows, if they are fewer than half of all nodes."""
    codes = np.unique(node.labels_S[rows_S & (node.labels_S >= 0)])
    if 2 * len(codes) >= node.distinct or not len(codes):
        return []
    return [node.words[node.codes[np.flatnonzero(node.labels_S == code)[0]]] for code in codes]


def absent(c: Column, node: Column) -> list[str]:
    """The nodes whose rows have nothing in this column, although others have."""
    there = node.labels_S >= 0
    rows = np.bincount(node.labels_S[there])
    gone = np.bincount(node.labels_S[there], (c.codes < 0)[there])
    lacking = np.flatnonzero((rows > 0) & (gone == rows))
    if len(lacking) == int((rows > 0).sum()):
        return []
    return [node.words[node.codes[np.flatnonzero(node.labels_S == code)[0]]] for code in lacking]
