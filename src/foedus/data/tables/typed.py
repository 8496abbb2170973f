"""What a column holds: numbers or text, and what is refused with the line where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.data.tables.advice import Parts, as_text, drop, missing, text_or_drop
from foedus.data.tables.arrow import NUMBER, Cells

if TYPE_CHECKING:
    from foedus.data.tables.schema import Kind


Place = Callable[[int], str]
"""Says where a row is: ``line 17 of hospitals.csv``."""

LARGEST = 1e30
"""Numbers beyond this are refused: their squares still fit a sum, and they fit float32."""
LONGEST = 200
"""Bytes of the longest text that may be a category."""

_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ]\d{1,2}:\d{2}.*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( \d{1,2}:\d{2}.*)?"
    r"|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
)

_COMMA = re.compile(r"[+-]?\d*,\d+")


def are_dates(words: Sequence[str]) -> bool:
    """Whether nearly all of these are dates or times of day."""
    return bool(words) and sum(_DATE.fullmatch(w) is not None for w in words) >= 0.9 * len(words)


def are_numbers(words: Sequence[str]) -> int:
    """How many of these are numbers."""
    return sum(NUMBER.fullmatch(w) is not None for w in words)


def canonical(word: str, ignore_case: bool = True) -> str:
    """One spelling for what is meant alike: single spaces, one case, and ``1`` for ``1.0``."""
    word = " ".join(word.split())
    word = re.sub(r"^([+-]?\d+)\.0*$", r"\1", word)
    return word.casefold() if ignore_case else word


def kind_of(name: str, cells: Cells, place: Place) -> Kind:
    """Numbers, if all cells are; text, if hardly one is, or if its file declares that it is a category.

    Errors: ``BadInput`` for a column without a value, for one of numbers with some text in it, for dates, and for text
    that tells rows apart.
    """
    if cells.missing.all():
        raise BadInput(f"column {name} has no value in any of the {len(cells)} rows: ", drop(name))
    if not cells.dated and not cells.declared and cells.numbers() is not None:
        return "number"
    _, words = cells.texts()
    numeric, rows = numeric_cells(cells)
    if numeric * 2 > rows and not cells.declared:
        raise _not_a_number(name, cells, place, text_or_drop(name))
    if cells.dated or are_dates(words):
        raise BadInput(
            f"column {name} holds dates or times, such as {words[0]!r}: ",
            drop(name),
            ", or make a number of them (an age, days since); ",
            as_text(name),
            " would make a category of each",
        )
    if len(words) > 50 and len(words) * 2 > rows:
        raise BadInput(
            f"column {name} has {len(words)} different texts in {rows} rows: it tells rows apart and teaches nothing; ",
            drop(name),
            ", or ",
            as_text(name),
            " to make a category of each",
        )
    return "text"


def numeric_cells(cells: Cells) -> tuple[int, int]:
    """How many cells are numbers, and how many are not missing."""
    codes, words = cells.texts()
    # Numbers with a decimal comma are numbers that have to be read otherwise, not categories.
    numeric = np.array([NUMBER.fullmatch(w) is not None or _COMMA.fullmatch(w) is not None for w in words], dtype=bool)
    rows = np.bincount(codes[codes >= 0], minlength=len(words))
    return int(rows[numeric].sum()), int(rows.sum())


def numbers(name: str, cells: Cells, place: Place, else_: Parts = ()) -> NDArray[np.float64]:
    """The cells as numbers (N,), NaN where missing. ``else_`` is what to do if the column is no number.

    Errors: ``BadInput`` for a cell that is no number, is infinite or too large.
    """
    else_ = else_ or text_or_drop(name)
    values = cells.numbers()
    if values is None:
        raise _not_a_number(name, cells, place, else_)
    large = np.flatnonzero(np.abs(values) > LARGEST)  # NaN is not larger
    if len(large):
        row = int(large[0])
        what = "is infinite" if np.isinf(values[row]) else f"is beyond {LARGEST:g}"
        raise BadInput(
            f"column {name}: {cells[row]!r} in {place(row)} {what}; if it stands for a missing value: ",
            missing(name, str(cells[row])),
            "; if the column is no number: ",
            *else_,
        )
    return values


def _not_a_number(name: str, cells: Cells, place: Place, else_: Parts) -> BadInput:
    codes, words = cells.texts()
    wrong = np.array([NUMBER.fullmatch(w) is None for w in words])
    at = np.flatnonzero(np.append(wrong, False)[codes])
    row = int(at[0])
    word = str(cells[row])
    more = f" (nor are {len(at) - 1} more)" if len(at) > 1 else ""
    comma = _COMMA.fullmatch(word) is not None
    return BadInput(
        f"column {name}: {word!r} in {place(row)} is not a number{more}; ",
        *(("if the comma is its decimal mark: ", Option("decimal", ","), "; ") if comma else ()),
        "if it stands for a missing value: ",
        missing(name, word),
        "; if the column is no number: ",
        *else_,
    )


def texts(name: str, cells: Cells, place: Place, ignore_case: bool = True) -> NDArray[np.bytes_]:
    """The cells in one spelling, as UTF-8 bytes (N,), empty where missing. Errors: ``BadInput`` for long texts."""
    codes, words = cells.texts()
    encoded = [canonical(w, ignore_case).encode() for w in words]
    long = [i for i, w in enumerate(encoded) if len(w) > LONGEST]
    if long:
        row = int(np.flatnonzero(np.isin(codes, long))[0])
        raise BadInput(
            f"column {name}: {place(row)} has a text of {len(encoded[codes[row]])} bytes; categories have at most "
            f"{LONGEST}: ",
            drop(name),
        )
    known: NDArray[Any] = np.array([*encoded, b""], dtype=np.bytes_)
    return known[codes]


def refuse_missing(name: str, cells: Cells, place: Place) -> None:
    """Errors: ``BadInput`` for a column with an empty cell, with the first of them."""
    empty = np.flatnonzero(cells.missing)
    if len(empty):
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        raise BadInput(
            f"column {name} is empty in {place(int(empty[0]))}{more}, and missing is 'refuse': fill it in, ",
            drop(name),
            ", or ",
            Option("missing", "impute"),
            " (which leaves out rows without a target)",
        )
