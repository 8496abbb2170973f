"""Which files a table is, and what their bytes say: encoding, delimiter, names of the columns, the line of a row."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from foedus.core.advice import Option
from foedus.core.errors import BadInput, did_you_mean
from foedus.core.text import readable
from foedus.data.files import kind_of, listed, read_bytes
from foedus.data.other_formats import other_format, refusal
from foedus.data.signatures import LONGEST, format_of

Paths = str | Path | Sequence[str | Path]

MISSING = ("", "?", "NA", "N/A", "#N/A", "NaN", "null")
"""What stands for a missing value, whatever its case."""
EVERY = "*"
"""Stands for all columns in ``missing_values``."""

DEEPEST = 6
"""So many folders below the one that is named files are looked for ..."""
MOST_FILES = 100_000
"""... among so many."""
DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Reading:
    """How a file is read: what is missing, its encoding, what divides its columns (None: found out), its decimal mark.

    ``names`` are the columns' names, for files whose first line is already data. ``missing_in``: what is missing in
    some columns besides, by their names here. ``spelling``: of some columns, texts and what they are read as, where
    ``ignore_case`` counts. ``amounts``: columns of numbers that may have units and marks between thousands. ``sheet``:
    that of a workbook, its name or place from 0 (None: the only one that holds anything).
    """

    missing_values: tuple[str, ...] = MISSING
    encoding: str = "utf-8"
    delimiter: str | None = None
    decimal: str = "."
    names: tuple[str, ...] | None = None
    missing_in: tuple[tuple[str, tuple[str, ...]], ...] = ()
    spelling: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    ignore_case: bool = True
    amounts: tuple[str, ...] = ()
    sheet: str | int | None = None

    def __post_init__(self) -> None:
        try:
            codecs.lookup(self.encoding)
        except (LookupError, TypeError):
            raise BadInput(
                f"unknown encoding {self.encoding!r}: use one that Python knows, such as 'utf-8', 'latin-1', 'cp1252'"
            ) from None
        if self.delimiter is not None and (not isinstance(self.delimiter, str) or len(self.delimiter) != 1):
            raise BadInput(f"delimiter must be one character such as ',' or ';', or None; got {self.delimiter!r}")
        if self.decimal not in (".", ","):
            raise BadInput(f"decimal must be '.' or ',', got {self.decimal!r}")
        if self.decimal == "," == self.delimiter:
            raise BadInput("decimal and delimiter are both ',': a number could not be told from two columns")
        if self.sheet is not None and (isinstance(self.sheet, bool) or not isinstance(self.sheet, str | int)):
            raise BadInput(f"sheet must be the name of a sheet, its place from 0, or None; got {self.sheet!r}")


def no_title(first: str, names: int, values: int) -> str:
    """The end of an error of a row with more values than there are names: the first line may be none with names."""
    if names > 1 or values < 3:
        return ""
    return f"; or, if {first} is a title, remove whatever stands above the names of the columns"


class NoRows(BadInput):
    """A file has names of columns and nothing below them."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} has names of columns but no rows")


def find(path: Paths, suffixes: tuple[str, ...], leave: Collection[Path] = ()) -> list[Path]:
    """The files of a path: a file, a folder, a pattern such as ``data/*.csv``, or a list of these; sorted by name.

    Of a folder without such files, those in its folders are meant. ``leave`` are files that are not meant.
    Errors: ``BadInput`` for what does not exist, and a folder or a pattern in which there is nothing.
    """
    left = {file.resolve() for file in leave}
    if isinstance(path, str | os.PathLike):
        return _find(os.fspath(path), suffixes, left)
    if not isinstance(path, Sequence) or not path:
        raise BadInput(
            f"path must be a file, a folder, a pattern such as 'data/*.csv', or a list of them; got {path!r}"
        )
    found = [f for p in path for f in find(p, suffixes, leave)]
    if twice := next((f for f, times in Counter(found).items() if times > 1), None):
        raise BadInput(f"{twice} is named twice: its rows would count twice")
    return found


def _find(given: str, suffixes: tuple[str, ...], left: Collection[Path]) -> list[Path]:
    path = Path(given).expanduser()
    if path.is_dir():
        found = _tables(path.iterdir(), suffixes, left) or _tables(_below(path), suffixes, left)
        if not found:
            inside = listed(sorted(p.name for p in path.iterdir()), 5) or "nothing"
            but = " but those of the test" if left else f"; it holds {inside}"
            raise BadInput(f"the folder {given} has no file that ends in {', '.join(suffixes)}{but}")
        return found
    if (kind := kind_of(path)) is not None:
        if kind != "a file":
            raise BadInput(f"{given} is {kind}: a table is a file, a folder of files, or a pattern")
        if path.resolve() in left:
            raise BadInput(f"{given} is to be trained on and is the test, too: give the test a file of its own")
        return [path]
    if has_magic(given):
        found = _tables(map(Path, glob(str(path), recursive=True)), ("",), left)
        if not found:
            raise BadInput(f"no file matches {given}: is it relative to {Path.cwd()}?")
        return found
    parent = path.parent
    beside = sorted(p.name for p in parent.iterdir()) if parent.is_dir() else []
    where = (
        did_you_mean(path.name, beside)
        if beside
        else ("" if parent.is_dir() else f"there is no folder {parent} either. ")
    )
    raise BadInput(f"there is no file {given}: {where}Paths are relative to {Path.cwd()}")


def _tables(places: Iterable[Path], suffixes: tuple[str, ...], left: Collection[Path]) -> list[Path]:
    """The files among these places, sorted, whose names end so."""
    return sorted(p for p in places if p.name.lower().endswith(suffixes) and p.is_file() and p.resolve() not in left)


def _below(folder: Path) -> Iterator[Path]:
    """What is in the folders of a folder, but for those that are hidden or whose names begin with ``_``.

    Errors: ``BadInput`` for a folder of so much that it is not one of tables.
    """
    seen, visited = 0, {folder.resolve()}  # a link may lead back
    for at, folders, files in os.walk(folder, followlinks=True):
        depth = len(Path(at).relative_to(folder).parts)
        seen += len(files) + len(folders)
        if seen > MOST_FILES:
            raise BadInput(f"there is too much in {folder} to look for tables there: name a folder or a pattern in it")
        inside = {name: (Path(at) / name).resolve() for name in sorted(folders) if not name.startswith((".", "_"))}
        folders[:] = [name for name, real in inside.items() if depth < DEEPEST and real not in visited]
        visited.update(inside.values())
        yield from (Path(at) / name for name in files)


def stem(path: Path) -> str:
    """The file's name without its endings."""
    return readable(Path(path.name.removesuffix(".gz")).stem)


@dataclass(frozen=True)
class Text:
    """A CSV file in memory: its bytes as UTF-8, the columns' names, and where the rows begin."""

    path: Path
    data: bytes
    names: tuple[str, ...]
    delimiter: str
    start: int

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Every row's first line in the file, from 1, and its fields. Slow: for telling where an error is."""
        records = _records(self.path, self.data, self.delimiter)
        if self.start:
            next(records)  # the header
        for line, _, fields in records:
            yield line, fields


def open_text(path: Path, reading: Reading) -> Text:
    """Read a CSV file up to its header.

    Errors: ``BadInput`` for a file that is empty, binary or in another encoding, and for a header that is not one.
    """
    data = utf8(path, read_bytes(path), reading.encoding)
    if not data[:65536].strip() and not data.strip():
        raise BadInput(f"{path} is empty: a table needs a line with the names of its columns, then rows")
    delimiter = reading.delimiter or sniff(path, data, reading.decimal)
    if b'"' in data and data.count(b'"') % 2:  # an open quote would swallow all lines that follow
        for _ in _records(path, data, delimiter, strict=True):
            pass
    line, end, header = next(_records(path, data, delimiter))
    if reading.names is not None:
        if len(reading.names) != len(header):
            raise BadInput(f"names has {len(reading.names)} names, but line {line} of {path} has {len(header)} columns")
        names, end = reading.names, 0
    else:
        names = tuple(h.strip() for h in header)
    _check_names(path, names, header_is_data=reading.names is None and _all_values(names))
    return Text(path, data, names, delimiter, end)


def line_of(path: Path, reading: Reading, row: int) -> int:
    """The line in which this row (from 0) of a CSV file begins."""
    for i, (line, _) in enumerate(open_text(path, reading).records()):
        if i == row:
            return line
    return row + 2


def check_names(path: Path, names: Sequence[str]) -> None:
    """Errors: ``BadInput`` for a column without a name and two with the same."""
    _check_names(path, names, header_is_data=False)


def _check_names(path: Path, names: Sequence[str], header_is_data: bool) -> None:
    if header_is_data:
        raise BadInput(
            f"the first line of {path} looks like data, not like names of columns ({listed(names, 4)}): put a line "
            "with names above it, or give them, ",
            Option("names", [f"column {i + 1}" for i in range(len(names))]),
        )
    for i, name in enumerate(names):
        if not name:
            hint = " (pandas writes its index so: use to_csv(..., index=False))" if i == 0 else ""
            raise BadInput(f"column {i + 1} of {path} has no name in the header{hint}: give it one")
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise BadInput(f"{path} has more than one column named {listed(map(repr, twice))}: give each its own name")


def _all_values(names: Sequence[str]) -> bool:
    def value(name: str) -> bool:
        try:
            float(name.replace(",", "."))
        except ValueError:
            return name in MISSING and name != ""
        return True

    return sum(map(value, names)) * 2 > len(names)


_TABLES = {"Parquet": "parquet", "zip or Excel": "excel", "Arrow": "arrow", "ORC": "orc"}
"""The sources that read what begins so."""


def utf8(path: Path, data: bytes, encoding: str) -> bytes:
    """The bytes of a text in some encoding as UTF-8, without a byte order mark.

    Errors: ``BadInput`` for what is of a known other format, binary, or in another encoding.
    """
    known, is_binary = format_of(data[:LONGEST]), b"\0" in data
    if known in _TABLES and (known != "zip or Excel" or b"xl/" in data):
        source = _TABLES[known]
        raise BadInput(
            f"{path} is a {known} file: ", Option("source", source, call=f'load("{source}", ...)'), " reads it"
        )
    if (is_binary or known in _TABLES or data.lstrip()[:1] in (b"[", b"{", b"<")) and other_format(path) is not None:
        raise BadInput(refusal(path))
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise BadInput(f"{path} is UTF-16, not UTF-8: convert it, or give ", Option("encoding", "utf-16"))
        if is_binary:
            raise BadInput(
                f"{path} is binary, not text: its byte {data.index(0)} is NUL. "
                "If it is text in another encoding, give ",
                Option("encoding", "utf-16"),
            )
        data = data.removeprefix(codecs.BOM_UTF8)
        if not data.isascii():  # which takes no memory
            _decode(path, data, "utf-8")
        return data
    text = _decode(path, data, encoding).removeprefix("\ufeff")
    if "\0" in text:
        raise BadInput(f"{path} holds NUL characters when it is read as {encoding}: is it binary?")
    return text.encode()


def _decode(path: Path, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeError as e:
        at = getattr(e, "start", 0)
        line = data.count(b"\n", 0, at) + 1
        shown = f"byte {at} (0x{data[at]:02x}, line {line})" if at < len(data) else "its end"
        raise BadInput(
            f"{path} is not {encoding.upper()}: {shown} does not decode; convert the file, or say what it is: ",
            Option("encoding", "latin-1"),
            " (Western Europe) or ",
            Option("encoding", "cp1252"),
            " (Windows)",
        ) from e


def _records(path: Path, data: bytes, delimiter: str, strict: bool = False) -> Iterator[tuple[int, int, list[str]]]:
    """For every record but blank lines: its first line, the byte after it, its fields."""
    at = 0

    def lines() -> Iterator[str]:
        nonlocal at
        for line in io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline=""):
            at += len(line.encode())
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=strict)
    before = 0
    try:
        for fields in reader:
            if fields:
                yield before + 1, at, fields
            before = reader.line_num
    except csv.Error as e:
        raise BadInput(f"line {before + 1} of {path} is not CSV: {e}; is a quote never closed?") from e


def sniff(path: Path, data: bytes, decimal: str) -> str:
    """The delimiter that divides the first records alike, and into most columns."""
    best: tuple[Any, ...] = (0, 1)
    found = ","
    for delimiter in DELIMITERS:
        if delimiter == decimal:
            continue
        widths = []
        try:
            for _, _, fields in _records(path, data, delimiter):
                widths.append(len(fields))
                if len(widths) == 50:
                    break
        except BadInput:
            continue
        # How many records are as wide as the header; a wider table wins among equals.
        score = (sum(w == widths[0] for w in widths) if widths[0] > 1 else 0, widths[0])
        if score > best:
            best, found = score, delimiter
    return found
