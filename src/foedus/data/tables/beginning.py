"""The first part of a column's texts as a column of its own: the site in ``A-0001``, the patient in ``P17/visit 2``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.data.tables.arrow import Cells
from foedus.data.tables.typed import Place


@dataclass(frozen=True)
class Beginning:
    """What an ``option`` takes of a column's texts: what they have ``before`` a mark, or their ``first`` characters.

    Of several marks it is the first. The column itself tells rows apart, and is not learned from.
    """

    option: str
    column: str
    before: str | None = None
    first: int | None = None

    @property
    def name(self) -> str:
        """What the column that it makes is called."""
        if self.before is not None:
            return f"{self.column} before {self.before!r}"
        return f"{self.column}, first {self.first}"

    def of(self, cells: Cells, place: Place) -> Cells:
        """That column; where nothing is, nothing begins. Errors: ``BadInput`` for a text without the mark."""
        codes, words = cells.texts()
        parts = {word: self._part(word) for word in words}
        wrong = [i for i, word in enumerate(words) if not parts[word]]
        if wrong:
            row = int(np.flatnonzero(np.isin(codes, wrong))[0])
            raise BadInput(
                f"{self.option}: {cells[row]!r} in {place(row)} (column {self.column}) has nothing before "
                f"{self.before!r}, where its first part should stand: mend the cell, or make a column of what is meant"
            )
        return cells.each(parts.__getitem__)

    def _part(self, word: str) -> str:
        if self.before is None:
            return word[: self.first].strip()
        part, mark, _ = word.partition(self.before)
        return part.strip() if mark else ""


def beginning(option: str, given: Any) -> Beginning | None:
    """What an option says in a table such as ``{"column": "id", "before": "-"}``; None for the name of a column.

    Errors: ``BadInput`` for a table that says something else.
    """
    if not isinstance(given, Mapping):
        return None
    column, before, first = (given.get(key) for key in ("column", "before", "first"))
    marked = isinstance(before, str) and before != "" and first is None
    counted = isinstance(first, int) and not isinstance(first, bool) and first > 0 and before is None
    if set(given) - {"column", "before", "first"} or not isinstance(column, str) or not (marked or counted):
        raise BadInput(
            f"{option} names a column, or the first part of one: ",
            Option(option, {"column": "id", "before": "-"}),
            " or ",
            Option(option, {"column": "id", "first": 2}),
            f"; got {dict(given)!r}",
        )
    return Beginning(option, column, before, first)


def named(option: str, given: Any) -> Any:
    """The column that an option names, by the name that it has or gets."""
    made = beginning(option, given)
    return given if made is None else made.name


def beginnings(options: Mapping[str, Any]) -> tuple[Beginning, ...]:
    """All that options say so, ``node`` and ``group``."""
    return tuple(b for o in ("node", "group") if (b := beginning(o, options.get(o))) is not None)
