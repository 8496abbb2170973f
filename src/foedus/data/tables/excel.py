"""Excel workbooks (.xlsx): one sheet is a table. This is the only file that imports openpyxl, and only when asked."""

from __future__ import annotations

import importlib
import io
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from foedus.core.advice import Option
from foedus.core.errors import BadInput, did_you_mean
from foedus.data.files import listed, read_bytes
from foedus.data.memory import check_packed, is_shortage
from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import NoRows, Reading, check_names, no_title
from foedus.data.tables.opened import Opened

LAST_ROW = 1_048_576
"""Of any sheet that Excel can open."""

Row = tuple[Any, ...]


def read_excel(path: Path, reading: Reading, keep: Callable[[str], bool]) -> Opened:
    """The columns whose names are to be kept, of the sheet that ``reading`` names, or of the only one that holds
    anything. The first row that is not empty has the names; empty rows after it are no rows.

    Dates become text, as are booleans; of a formula the value that was computed last is read. Errors: ``BadInput`` for
    what is no workbook, a sheet that is not there, a value without a column's name above it, and formulas that were
    never computed.
    """
    raw = read_bytes(path)
    _check_archive(path, raw)
    try:
        return _read(path, raw, reading, keep)
    except BadInput:
        raise
    except Exception as e:  # of a damaged workbook openpyxl raises whatever its reading of XML ends in
        if is_shortage(e):
            raise
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
        raise BadInput(f"{path} cannot be read as an Excel workbook: {type(e).__name__}: {reason[:200]}") from e


def _read(path: Path, raw: bytes, reading: Reading, keep: Callable[[str], bool]) -> Opened:
    book = _book(raw, computed=True)
    sheet = _chosen(path, book, reading.sheet)
    where = f"sheet {sheet!r} of {path}"
    filled = ((i, row) for i, row in _rows(book, sheet) if any(v is not None for v in row))
    top, header = next(filled)
    names = ["" if v is None else str(_plain(v)).strip() for v in header]
    while not names[-1]:
        names.pop()
    check_names(path, names)
    kept = [(i, name) for i, name in enumerate(names) if keep(name)]
    columns: list[list[Any]] = [[] for _ in kept]
    places: list[int] = []
    for number, row in filled:
        if any(v is not None for v in row[len(names) :]):
            at = next(i for i in range(len(names), len(row)) if row[i] is not None)
            raise BadInput(
                f"row {number} of {where} has the value {_plain(row[at])!r} in column {at + 1}, which has no name in "
                f"row {top}: give it one, or clear it{no_title(f'row {top}', len(names), len(row))}"
            )
        for column, (i, _) in zip(columns, kept, strict=True):
            column.append(_plain(row[i]) if i < len(row) else None)
        places.append(number)
    if not places:
        raise NoRows(path)
    if any(None in column for column in columns):
        _check_computed(raw, sheet, where, dict(zip(places, zip(*columns, strict=True), strict=True)), kept)
    cells = {name: Cells.typed(column, reading) for column, (_, name) in zip(columns, kept, strict=True)}
    return Opened(names, cells, lambda row: f"row {places[row]} of {where}")


def _chosen(path: Path, book: Any, wanted: str | int | None) -> str:
    """The name of the sheet that is the table."""
    names = [str(sheet.title) for sheet in book.worksheets]
    if isinstance(wanted, int):
        if not 0 <= wanted < len(names):
            raise BadInput(f"sheet: {path} has {len(names)} sheets, counted from 0; got {wanted}")
        wanted = names[wanted]
    if wanted is not None and wanted not in names:
        raise BadInput(
            f"sheet: {path} has no sheet {wanted!r}: {did_you_mean(wanted, names)}There are {listed(map(repr, names))}"
        )
    looked_at = names if wanted is None else [wanted]
    filled = [name for name in looked_at if any(v is not None for _, row in _rows(book, name) for v in row)]
    if not filled:
        what = f"{path} is empty" if wanted is None else f"sheet {wanted!r} of {path} is empty"
        raise BadInput(f"{what}: a table needs a row with the names of its columns, then rows")
    if len(filled) > 1:
        several = listed(map(repr, filled))
        raise BadInput(f"{path} has several sheets, {several}: say which, such as ", Option("sheet", filled[0]))
    return filled[0]


def _book(raw: bytes, computed: bool) -> Any:
    """The workbook, with values, or where not ``computed`` with what formulas there are."""
    try:
        openpyxl = importlib.import_module("openpyxl")
    except ImportError as e:
        raise BadInput(
            f"Excel workbooks are read by openpyxl, which is not installed: pip install 'foedus[excel]' ({e})"
        ) from e
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of charts, validations and styles, which are no matter here
        return openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=computed, keep_links=False)


def _rows(book: Any, name: str) -> Iterator[tuple[int, Row]]:
    """The rows of a sheet and their numbers, from 1."""
    sheet = book[name]
    sheet.reset_dimensions()  # a size that a file announces, and that may be wrong, would cut it off
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        if number > LAST_ROW:
            raise BadInput(f"sheet {name!r} has a row beyond {LAST_ROW:,}, which no workbook has: it is damaged")
        yield number, row


def _check_archive(path: Path, raw: bytes) -> None:
    """Errors: ``BadInput`` for what is no workbook, and for one that unpacks to more than a file may."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as e:
        raise BadInput(f"{path} is no Excel workbook (.xlsx): {e}") from e
    if not any(e.filename.startswith("xl/") for e in entries):
        raise BadInput(
            f"{path} is a zip archive, not an Excel workbook: unpack it, and name the file that is the table"
        )
    check_packed(path, len(raw), sum(e.file_size for e in entries))


def _check_computed(
    raw: bytes, sheet: str, where: str, rows: Mapping[int, Row], kept: Sequence[tuple[int, str]]
) -> None:
    """Errors: ``BadInput`` for a formula without a value: so writes who is no spreadsheet. It would read as missing.

    ``rows`` has the cells of the columns that are ``kept``, by the rows' numbers.
    """
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        if not any(b"<f" in archive.read(e) for e in archive.namelist() if e.startswith("xl/worksheets/")):
            return
    for number, row in _rows(_book(raw, computed=False), sheet):
        for value, (i, name) in zip(rows.get(number, ()), kept, strict=False):
            formula = row[i] if i < len(row) else None
            if value is None and formula is not None:
                raise BadInput(
                    f"column {name}: row {number} of {where} has the formula {str(formula)[:40]!r} and not its value: "
                    "open and save the workbook in a spreadsheet program, or save the sheet as CSV"
                )


def _plain(value: Any) -> Any:
    """A cell as a number, text or boolean."""
    if isinstance(value, datetime):
        return value.isoformat(" ") if value.time() != time() else value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, timedelta) else value
