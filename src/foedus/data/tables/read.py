"""Files as one sheet of cells: the same columns in each of them, renamed and dropped, and where every row stands."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from foedus.core.errors import BadInput, did_you_mean
from foedus.data.files import listed
from foedus.data.memory import fitting
from foedus.data.tables.arrow import Cells, read_csv, read_parquet
from foedus.data.tables.files import CSV, PARQUET, Paths, Reading, find, line_of, open_text
from foedus.data.tables.meant import meant
from foedus.data.tables.typed import Place


@dataclass(frozen=True)
class Part:
    """One file of a sheet, and its rows."""

    path: Path
    rows: int


@dataclass(frozen=True)
class Sheet:
    """Columns of cells by name, all of the same length; the files they come from; and where each row stands.

    ``names`` are those of all columns in the files, kept or not.
    """

    cells: dict[str, Cells]
    parts: tuple[Part, ...]
    place: Place
    names: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(next(iter(self.cells.values())))


def read(
    path: Paths,
    suffixes: tuple[str, ...] | None,
    reading: Reading,
    rename: Mapping[str, str],
    keep: Callable[[str], bool],
    leave: Collection[Path] = (),
) -> Sheet:
    """All files of a path as one sheet; see ``find``. ``suffixes`` None: CSV or Parquet, by the file's ending.

    ``rename`` is from the name in a file to the name here; ``keep`` is asked about the latter. ``leave`` are files that
    are not read.
    Errors: ``BadInput`` for what cannot be read, files with different columns, and a name to rename that no file has.
    """
    left = {file.resolve() for file in leave}
    files = [file for file in find(path, suffixes or (*CSV, *PARQUET)) if file.resolve() not in left]
    if not files:
        raise BadInput(f"path holds only what test names ({listed(map(str, leave), 4)}): no file is left to train on")
    known: dict[str, None] = {}  # names in order, each once
    sheets: list[dict[str, Cells]] = []
    for file in files:
        parquet = suffixes == PARQUET or (suffixes is None and file.name.lower().endswith(PARQUET))
        with fitting(file):
            names, cells = _read_one(file, parquet, reading, rename, keep)
        known.update(dict.fromkeys(names))
        sheets.append(cells)
    unused = [old for old in rename if old not in known]
    if unused and suffixes is not None:
        raise BadInput(
            f"rename: there is no column {unused[0]!r}: {did_you_mean(unused[0], known)}There are {listed(known)}"
        )
    _check_alike(files, sheets)
    first = sheets[0]
    if not first:
        raise BadInput(f"{files[0]} has none of the columns that are needed; it has {listed(known)}")
    parts = tuple(Part(f, len(next(iter(s.values())))) for f, s in zip(files, sheets, strict=True))
    cells = {name: Cells.joined([s[name] for s in sheets]) if len(sheets) > 1 else first[name] for name in first}
    place = _places(parts, suffixes, reading)
    cells = {name: meant(name, c, reading, place) for name, c in cells.items()}
    return Sheet(cells, parts, place, tuple(dict.fromkeys(rename.get(n, n) for n in known)))


def _read_one(
    file: Path, parquet: bool, reading: Reading, rename: Mapping[str, str], keep: Callable[[str], bool]
) -> tuple[list[str], dict[str, Cells]]:
    """All names in the file, and the columns that are kept by their new names."""

    def wanted(name: str) -> bool:
        return keep(rename.get(name, name))

    if parquet:
        cells, names = read_parquet(file, reading, wanted)
    else:
        text = open_text(file, reading)
        cells, names = read_csv(text, reading, wanted), list(text.names)
    renamed = {rename.get(name, name): c for name, c in cells.items()}
    if len(renamed) < len(cells):
        (twice, _), *_ = Counter(rename.get(name, name) for name in cells).most_common(1)
        raise BadInput(f"rename gives {file} two columns named {twice!r}: drop one of them")
    return names, renamed


def _check_alike(files: list[Path], sheets: list[dict[str, Cells]]) -> None:
    for file, sheet in zip(files[1:], sheets[1:], strict=True):
        for have, lack, a, b in ((sheets[0], sheet, files[0], file), (sheet, sheets[0], file, files[0])):
            for name in have:
                if name not in lack:
                    raise BadInput(
                        f"{a} has a column {name!r} and {b} has none: "
                        f"{did_you_mean(name, [n for n in lack if n not in have])}"
                        f"rename={{...}} gives them one name, drop=({name!r},) leaves it out"
                    )


def _places(parts: tuple[Part, ...], suffixes: tuple[str, ...] | None, reading: Reading) -> Place:
    ends = list(accumulate(p.rows for p in parts))

    def place(row: int) -> str:
        i = bisect_right(ends, row)
        part, within = parts[i], row - (ends[i - 1] if i else 0)
        if suffixes == PARQUET or (suffixes is None and part.path.name.lower().endswith(PARQUET)):
            return f"row {within + 1} of {part.path}"
        return f"line {line_of(part.path, reading, within)} of {part.path}"

    return place


def check_known(option: str, names: Collection[str], known: Collection[str]) -> None:
    """Errors: ``BadInput`` for names that are no columns."""
    there = frozenset(known)
    for name in names:
        if name not in there:
            raise BadInput(
                f"{option}: there is no column {name!r}: {did_you_mean(str(name), known)}There are {listed(known)}"
            )
