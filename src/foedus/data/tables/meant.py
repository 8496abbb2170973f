"""What cells mean: values in one spelling, amounts as numbers, nothing where something stands for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from foedus.core.errors import BadInput
from foedus.data.tables.advice import drop
from foedus.data.tables.amounts import SHARES, amount, value
from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Reading
from foedus.data.tables.typed import Place, canonical


def meant(name: str, cells: Cells, reading: Reading, place: Place) -> Cells:
    """The cells of a column of this name, as ``reading`` has them understood.

    The order is a reader's: spelling; what stands for nothing as a text; marks of decimals and thousands, and units;
    what stands for nothing by its value, so that ``0`` is ``0.0``, too. Errors: ``BadInput`` for two units in a column.
    """
    if spelled := dict(reading.spelling).get(name):
        as_said = {canonical(old, reading.ignore_case): new for old, new in spelled}
        cells = cells.each(lambda word: as_said.get(canonical(word, reading.ignore_case), word))
    more = dict(reading.missing_in).get(name, ())
    missing = (*reading.missing_values, *more)
    if cells.is_text:
        if spelled or more:  # what is missing in all columns is missing since they were read
            cells = cells.without(missing)
        if name in reading.amounts:
            cells = _amounts(name, cells, reading.decimal, place)
        elif reading.decimal == ",":
            cells = cells.with_points()
    return _without_values(cells, [v.replace(",", ".") if reading.decimal == "," else v for v in missing])


def _without_values(cells: Cells, missing: Sequence[str]) -> Cells:
    gone = [v for word in missing if (v := value(word.strip())) is not None]
    if not gone or cells.dated:
        return cells
    if cells.is_text:
        return cells.each(lambda word: None if value(word) in gone else word)
    return cells.without_numbers(gone)


def _amounts(name: str, cells: Cells, decimal: str, place: Place) -> Cells:
    """Plain numbers of cells that are amounts; others stay what they are. Errors: ``BadInput`` for two units."""
    codes, words = cells.texts()
    known, first = np.unique(codes, return_index=True)
    rows = dict(zip(known.tolist(), first.tolist(), strict=True))
    read = {word: found for word in words if (found := amount(word, decimal)) is not None}
    units: dict[str, int] = {}
    for i, word in enumerate(words):
        if word in read:
            units[read[word].unit] = min(rows[i], units.get(read[word].unit, rows[i]))
    plain = cells.each(lambda word: read[word].number if word in read else word)
    check_units(name, {unit: f"{cells[row]!r} in {place(row)}" for unit, row in units.items()})
    plain.units = tuple(units)
    return plain


def check_units(name: str, found: Mapping[str, str]) -> None:
    """Where each unit of a column stands (""; a number without one). Errors: ``BadInput`` for more than one unit."""
    named = [unit for unit in found if unit]
    if len(named) > 1 or (SHARES & set(named) and "" in found):
        (a, at), (b, there) = [(unit, found[unit]) for unit in (*named, *([""] if "" in found else []))][:2]
        raise BadInput(
            f"column {name} holds amounts in two units: {at} is in {a}, {there} {f'in {b}' if b else 'has none'}; "
            "write all in one, or ",
            drop(name),
        )
