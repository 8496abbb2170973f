"""The columns of a sheet that are learned from: which they are, of what kind, and their cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from foedus.data.tables.agree import Options
from foedus.data.tables.options import TableOptions
from foedus.data.tables.read import Sheet
from foedus.data.tables.schema import Kind
from foedus.data.tables.typed import kind_of, numbers, texts


def features(wanted: TableOptions, sheet: Sheet) -> list[str]:
    """Columns that are learned from, in the order of the file."""
    return [n for n in sheet.cells if n not in wanted.not_learned_from]


def column(name: str, kind: Kind, sheet: Sheet, options: Options) -> NDArray[Any]:
    """A column's cells (N,), as the kind that it is."""
    if kind == "number":
        return numbers(name, sheet.cells[name], sheet.place)
    return texts(name, sheet.cells[name], sheet.place, options.ignore_case)


def said_kinds(wanted: TableOptions) -> dict[str, Kind]:
    """The columns of which the options say what they are."""
    return {**{name: "text" for name in wanted.text}, **{name: "number" for name in wanted.numeric}}


def kind(name: str, sheet: Sheet, said: Mapping[str, Kind]) -> Kind:
    """Whether a column is of numbers or of text. Errors: ``BadInput`` for one that is neither."""
    cells = sheet.cells[name]
    if cells.missing.all() or name not in said:
        return kind_of(name, cells, sheet.place)
    return said[name]
