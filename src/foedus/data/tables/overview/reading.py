"""How files are read: as is given, and as their bytes say of encoding, delimiter and decimal mark."""

from __future__ import annotations

import codecs
import csv
import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foedus.core.errors import BadInput
from foedus.data.files import read_bytes
from foedus.data.tables.amounts import amount
from foedus.data.tables.beginning import beginnings
from foedus.data.tables.files import EVERY, MISSING, Paths, Reading, find, sniff
from foedus.data.tables.formats import FORMATS, SUFFIXES, format_of
from foedus.data.tables.overview.proposal import Proposal
from foedus.data.tables.read import Sheet, read

HEAD = 1 << 16
"""Bytes of a file by which its delimiter and decimal mark are found out."""
READING = ("encoding", "delimiter", "decimal", "names", "sheet")
"""Options of ``load`` that say how the text of a file is read."""


def opened(path: Paths, given: Mapping[str, Any]) -> tuple[str, Sheet, list[Proposal]]:
    """The source by its name, the files read, and how, where that is not how all files are read.

    Errors: ``BadInput`` for what cannot be read.
    """
    first = find(path, SUFFIXES)[0]
    form = format_of(first)
    is_csv = form is FORMATS["csv"]
    said = {k: v for k, v in given.items() if k in READING}
    found = _text(first, said) if is_csv else []
    dropped, rename = frozenset(given.get("drop") or ()), dict(given.get("rename") or {})

    def sheet() -> Sheet:
        reading = as_said({**given, **{p.option: p.value for p in found}})
        return read(path, form, reading, rename, lambda name: name not in dropped, made=beginnings(given))

    try:
        return form.source, sheet(), found
    except BadInput:
        encoding = _encoding(find(path, form.suffixes)) if form.is_text and "encoding" not in said else None
        if encoding is None:
            raise
    why = "its bytes are not UTF-8, and this fits; look at words with accents"
    found.append(Proposal("encoding", encoding, why))
    return form.source, sheet(), found


def as_said(options: Mapping[str, Any]) -> Reading:
    """How files are read by options of ``load``."""
    missing = options.get("missing_values") or {}
    by_column = dict(missing) if isinstance(missing, Mapping) else {EVERY: missing}
    text: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items() if k in READING}
    return Reading(
        **text,
        missing_values=tuple(map(str, by_column.pop(EVERY, MISSING))),
        missing_in=tuple((name, tuple(map(str, words))) for name, words in by_column.items()),
        spelling=tuple((name, tuple(words.items())) for name, words in (options.get("spelling") or {}).items()),
        amounts=tuple(options.get("numeric") or ()),
    )


def _text(file: Path, said: Mapping[str, Any]) -> list[Proposal]:
    """Delimiter and decimal mark of a file, where they are not comma and point."""
    head = _head(file)
    if codecs.BOM_UTF16_LE in head[:2] or b"\0" in head:
        return []
    text = head.decode(said.get("encoding", "utf-8"), "replace")
    delimiter = said.get("delimiter") or sniff(file, text.encode(), said.get("decimal", "."))
    found = []
    if delimiter != "," and "delimiter" not in said:
        found.append(Proposal("delimiter", delimiter, "found out: it divides all lines alike"))
    if delimiter != "," and "decimal" not in said and _has_commas(text, delimiter):
        found.append(Proposal("decimal", ",", "found out: numbers have a comma in them, and none has a point"))
    return found


def _head(file: Path) -> bytes:
    """The first whole lines of a text file, unpacked."""
    try:
        with gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb") as f:
            start: bytes = f.read(HEAD)
    except (OSError, EOFError):
        return b""  # whoever reads it in earnest says what is wrong
    start = start.removeprefix(codecs.BOM_UTF8)
    return start[: start.rfind(b"\n") + 1] if len(start) > HEAD // 2 else start


def _has_commas(text: str, delimiter: str) -> bool:
    """Whether some column's cells are amounts with a decimal comma only, and no cell is one with a point only."""
    records = list(csv.reader(text.splitlines(), delimiter=delimiter))
    columns = zip(*[r for r in records if r and len(r) == len(records[0])], strict=True)
    cells = [[v.strip() for v in column if v.strip()] for column in columns]
    commas = [sum(amount(v, ",") is not None and amount(v, ".") is None for v in column) for column in cells]
    points = sum(amount(v, ".") is not None and amount(v, ",") is None for column in cells for v in column)
    return not points and any(n * 2 > len(column) for n, column in zip(commas, cells, strict=True))


def _encoding(files: list[Path]) -> str | None:
    """In what these files may be written, if not in UTF-8: UTF-16 by its mark, else Windows' for Western Europe."""
    for data in map(read_bytes, files):
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        try:
            data.decode()
        except UnicodeDecodeError:
            if b"\0" in data:
                return None
            try:
                data.decode("cp1252")
            except UnicodeDecodeError:
                return "latin-1"
            return "cp1252"
    return None
