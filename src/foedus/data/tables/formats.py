"""The formats of files that hold a table, and how each is read: all of them become columns of cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from foedus.data.tables.arff import read_arff
from foedus.data.tables.arrow import read_arrow, read_csv, read_orc, read_parquet
from foedus.data.tables.excel import read_excel
from foedus.data.tables.files import Reading, line_of, open_text
from foedus.data.tables.json_lines import read_json_lines
from foedus.data.tables.opened import Opened

Reader = Callable[[Path, Reading, Callable[[str], bool]], Opened]
"""Reads the columns of a file whose names are to be kept. Errors: ``BadInput`` that names the file."""


@dataclass(frozen=True)
class Format:
    """A format: its name among the sources, how its files' names end, how they begin (b"": text), and its reader."""

    source: str
    suffixes: tuple[str, ...]
    start: bytes
    read: Reader

    @property
    def is_text(self) -> bool:
        """Whether its files are text, in some encoding."""
        return not self.start


def _csv(path: Path, reading: Reading, keep: Callable[[str], bool]) -> Opened:
    text = open_text(path, reading)
    cells = read_csv(text, reading, keep)
    return Opened(list(text.names), cells, lambda row: f"line {line_of(path, reading, row)} of {path}")


FORMATS = {
    f.source: f
    for f in (
        Format(
            "csv",
            (".csv", ".tsv", ".tab", ".txt", ".data", ".csv.gz", ".tsv.gz", ".tab.gz", ".txt.gz", ".data.gz"),
            b"",
            _csv,
        ),
        Format("parquet", (".parquet", ".pq"), b"PAR1", read_parquet),
        Format("excel", (".xlsx", ".xlsm"), b"PK\x03\x04", read_excel),
        Format("jsonl", (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"), b"", read_json_lines),
        Format("arff", (".arff", ".arff.gz"), b"", read_arff),
        Format("arrow", (".arrow", ".feather", ".ipc"), b"ARROW1", read_arrow),
        Format("orc", (".orc",), b"ORC", read_orc),
    )
}
"""By their names among the sources."""
SUFFIXES = tuple(s for f in FORMATS.values() for s in f.suffixes)
"""How the name of any table ends."""


def format_of(file: Path) -> Format:
    """The format of a file by how it begins, else by how its name ends; CSV where neither says.

    >>> format_of(Path("a/Patients.XLSX")).source, format_of(Path("adult.data")).source
    ('excel', 'csv')
    """
    try:
        with file.open("rb") as f:
            start = f.read(max(len(form.start) for form in FORMATS.values()))
    except (OSError, ValueError):  # the last: no name of a file; whoever reads it says so
        start = b""
    begins = [form for form in FORMATS.values() if form.start and start.startswith(form.start)]
    ends = [form for form in FORMATS.values() if file.name.lower().endswith(form.suffixes)]
    return next(iter((*begins, *ends)), FORMATS["csv"])
