"""Columns whose values are names of something, a node, a patient, a row: exact, whatever they look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.data.files import listed
from foedus.data.tables.advice import drop
from foedus.data.tables.read import Sheet
from foedus.data.tables.typed import canonical


def identifiers(role: str, name: str, sheet: Sheet) -> NDArray[np.str_]:
    """The name in each row (N,) as text: ``007`` is not ``7``, and ``7.0`` is.

    Errors: ``BadInput`` for a cell without one, and for numbers that their file has rounded.
    """
    codes, names = _coded(role, name, sheet)
    return np.array(names)[codes]


def owners(name: str, sheet: Sheet) -> NDArray[Any]:
    """The node of each row (N,): text, or integers where all are, so that they are ordered by value."""
    codes, names = _coded("node", name, sheet)
    if all(w.isascii() and w.isdecimal() and len(w) < 20 and str(int(w)) == w and int(w) < 2**63 for w in names):
        return np.array([int(w) for w in names], np.int64)[codes]
    return np.array(names)[codes]


def _coded(role: str, name: str, sheet: Sheet) -> tuple[NDArray[np.int64], list[str]]:
    """Each row's name as its place (N,) in the list of different ones. Errors: as of ``identifiers``."""
    cells = sheet.cells[name]
    codes, words = cells.texts()
    none = np.flatnonzero(codes < 0)
    if len(none):
        more = f" and in {len(none) - 1} other row{'s' if len(none) > 2 else ''}" if len(none) > 1 else ""
        raise BadInput(f"{role} column {name} is empty in {sheet.place(int(none[0]))}{more}: every row needs one")
    rounded = np.flatnonzero(cells.rounded)
    if len(rounded):
        raise BadInput(
            f"{role} column {name} holds floats, which do not tell a number as large as {cells[int(rounded[0])]} in "
            f"{sheet.place(int(rounded[0]))} from the next: store the column as integers or as text"
        )
    place: dict[str, int] = {}
    merged = np.array([place.setdefault(canonical(w, ignore_case=False), len(place)) for w in words], np.int64)
    return merged[codes], list(place)


def together(columns: Sequence[str], sheet: Sheet) -> NDArray[np.str_]:
    """What each row (N,) belongs together with others by: one column's value, or the values of several."""
    parts = [identifiers("group", name, sheet) for name in columns]
    return (
        parts[0] if len(parts) == 1 else np.array([str(row) for row in zip(*(p.tolist() for p in parts), strict=True)])
    )


def check_unique(name: str, sheet: Sheet) -> None:
    """Errors: ``BadInput`` for a column in which a value is missing or is in two rows."""
    codes, names = _coded("id", name, sheet)
    twice = np.flatnonzero(np.bincount(codes) > 1)
    if len(twice):
        a, b = (sheet.place(int(r)) for r in np.flatnonzero(codes == twice[0])[:2])
        more = f"; so are {listed([names[i] for i in twice[1:]], 4)}" if len(twice) > 1 else ""
        raise BadInput(
            f"id {name}: {names[twice[0]]!r} is in {a} and again in {b}{more}: remove what is there twice; "
            "or leave id out, and give ",
            Option("group", name),
            " if several rows may be of one, or ",
            drop(name),
        )


def check_apart(role: str, name: str, ours: NDArray[np.str_], theirs: NDArray[np.str_], test: Sheet) -> None:
    """Errors: ``BadInput`` for names of training rows that are among those of test rows."""
    again = np.flatnonzero(np.isin(theirs, ours))
    if len(again):
        both = np.unique(theirs[again])
        raise BadInput(
            f"{role} {name}: {theirs[again[0]].item()!r} in {test.place(int(again[0]))} is among the training rows, too"
            f"{f', and so are {len(both) - 1} more' if len(both) > 1 else ''}: a test is of rows that were not trained "
            "on; leave these out of one of the files"
        )
