"""Files as one sheet of cells: the same columns in each of them, renamed and dropped, and where every row stands."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from foedus.core.advice import Option
from foedus.core.errors import BadInput, did_you_mean, plain_name
from foedus.core.text import readable
from foedus.data.files import listed
from foedus.data.memory import fitting
from foedus.data.problems import MOST, Problems
from foedus.data.tables.advice import drop
from foedus.data.tables.arrow import Cells
from foedus.data.tables.beginning import Beginning
from foedus.data.tables.files import NoRows, Paths, Reading, find
from foedus.data.tables.formats import SUFFIXES, Format, format_of
from foedus.data.tables.layout import Stand, layout
from foedus.data.tables.meant import meant
from foedus.data.tables.opened import Opened
from foedus.data.tables.typed import Place


@dataclass(frozen=True)
class Part:
    """One file of a sheet, and its rows; where it stands, and the columns that it lacks and others have."""

    path: Path
    rows: int
    stand: Stand = Stand()
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """Columns of cells by name, all of the same length; the files they come from; and where each row stands.

    ``names`` are those of all columns in the files, kept or not. ``unused``: names to rename that no file has.
    ``lines``: what there is to say of single files.
    """

    cells: dict[str, Cells]
    parts: tuple[Part, ...]
    place: Place
    names: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(next(iter(self.cells.values())))

    @property
    def key(self) -> str | None:
        """The first column that the names of folders give, such as ``hospital`` of ``hospital=n/part.parquet``."""
        return next((name for p in self.parts for name, _ in p.stand.columns), None)


def read(
    path: Paths,
    form: Format | None,
    reading: Reading,
    rename: Mapping[str, str],
    keep: Callable[[str], bool],
    leave: Collection[Path] = (),
    made: Collection[Beginning] = (),
) -> Sheet:
    """All files of a path as one sheet; see ``find``. ``form`` None: each file's own, see ``format_of``.

    ``rename`` is from the name in a file to the name here; ``keep`` is asked about the latter. ``leave`` are files that
    are not read. ``made`` are columns of the first parts of others, which need not be kept themselves.
    A column that a file lacks is missing in its rows, and a file without rows is left out: ``lines`` say so.
    Errors: ``BadInput`` for what cannot be read, of all files together, and a column that is spelled in two ways.
    """
    sources = {b.column for b in made}
    needed: Callable[[str], bool] = lambda name: name in sources or keep(name)  # noqa: E731
    files = find(path, SUFFIXES if form is None else form.suffixes, leave)
    known: dict[str, None] = {}  # names in order, each once
    sheets: list[dict[str, Cells]] = []
    parts: list[Part] = []
    empty: list[NoRows] = []
    places: list[Place] = []
    problems = Problems()
    for file, stand in zip(files, layout(path, files), strict=True):
        with problems.one(), fitting(file):
            try:
                found = _read_one(file, form or format_of(file), reading, rename, needed)
            except NoRows as e:
                empty.append(e)
                continue
            except BadInput as e:
                raise BadInput(*e.args, *_no_table(file, files)) from e
            names, cells = found.names, found.cells
            known.update(dict.fromkeys((*names, *(n for n, _ in stand.columns))))
            stand = replace(stand, columns=tuple((rename.get(n, n), value) for n, value in stand.columns))
            if not cells:
                raise BadInput(f"{file} has none of the columns that are needed; it has {listed(names)}")
            rows = len(next(iter(cells.values())))
            for name, value in stand.columns:
                if needed(name) and name not in cells:
                    cells[name] = Cells.repeated(value, rows, reading)
            sheets.append(cells)
            parts.append(Part(file, rows, stand))
            places.append(found.place)
    problems.check(f"of {len(files)} files cannot be read")
    if not parts:
        raise empty[0]
    check_spelling([(str(part.path), sheet) for part, sheet in zip(parts, sheets, strict=True)])
    columns = dict.fromkeys(name for sheet in sheets for name in sheet)
    for i, (part, sheet) in enumerate(zip(parts, sheets, strict=True)):
        parts[i] = replace(part, lacks=tuple(name for name in columns if name not in sheet))
        sheet.update({name: Cells.nothing(part.rows) for name in parts[i].lacks})
    cells = {n: Cells.joined([s[n] for s in sheets]) if len(sheets) > 1 else sheets[0][n] for n in columns}
    place = _placed(tuple(parts), places)
    cells = {name: meant(name, c, reading, place) for name, c in cells.items()}
    there = tuple(dict.fromkeys(rename.get(n, n) for n in known))
    for b in made:
        check_known(b.option, [b.column], there)
    first_parts = {b.name: b.of(cells[b.column], place) for b in made}
    return Sheet(
        {name: c for name, c in cells.items() if keep(name)} | first_parts,
        tuple(parts),
        place,
        there,
        tuple(old for old in rename if old not in known),
        tuple(_lines(parts, empty)),
    )


def _no_table(file: Path, files: Sequence[Path]) -> Iterator[str]:
    """The end of an error of a text among tables of another ending: it may be a note and no table."""
    if file.suffix.lower() == ".txt" and any(f.suffix.lower() != ".txt" for f in files):
        yield "; or, if it is no table, move it elsewhere"


def _lines(parts: list[Part], empty: list[NoRows]) -> Iterator[str]:
    """What there is to say of files without rows, and of those that lack columns."""
    for e in empty:
        yield f"{readable(str(e))}: left out"
    yield from lacking({str(p.path): p.lacks for p in parts})


def lacking(lacks: Mapping[str, Collection[str]]) -> Iterator[str]:
    """What there is to say of who (files, nodes) lacks which columns."""
    some = [(who, names) for who, names in lacks.items() if names]
    for who, names in some[:MOST]:
        yield f"{readable(who)} has no {listed(names, 6)}: missing in all its rows"
    if len(some) > MOST:
        yield f"{len(some) - MOST} more lack columns, too"


def _read_one(
    file: Path, form: Format, reading: Reading, rename: Mapping[str, str], keep: Callable[[str], bool]
) -> Opened:
    """All names in the file, and the columns that are kept by their new names."""
    columns = form.read(file, reading, lambda name: keep(rename.get(name, name)))
    renamed = {rename.get(name, name): c for name, c in columns.cells.items()}
    if len(renamed) < len(columns.cells):
        (twice, _), *_ = Counter(rename.get(name, name) for name in columns.cells).most_common(1)
        raise BadInput(f"rename gives {file} two columns named {twice!r}: drop one of them")
    return replace(columns, cells=renamed)


def check_spelling(columns: Sequence[tuple[str, Collection[str]]]) -> None:
    """Who (files, nodes) has which columns.

    Errors: ``BadInput`` for a column that two of them spell differently: case, spaces, ``_`` and ``-``.
    """
    alike: dict[str, dict[str, None]] = {}
    for name in dict.fromkeys(name for _, names in columns for name in names):
        alike.setdefault(plain_name("".join(name.split())), {})[name] = None
    for a, *others in alike.values():
        for b in others:
            if not any(a in names and b in names for _, names in columns):
                has_a, has_b = (next(who for who, names in columns if n in names) for n in (a, b))
                raise BadInput(
                    f"{has_a} has a column {a!r} and {has_b} a column {b!r}: if they are the same, ",
                    Option("rename", {b: a}, adds=True),
                    "; if not, ",
                    drop(b),
                )


def _placed(parts: tuple[Part, ...], places: list[Place]) -> Place:
    """Where a row of all files is, by what each file says of its own rows."""
    ends = list(accumulate(p.rows for p in parts))

    def place(row: int) -> str:
        i = bisect_right(ends, row)
        return places[i](row - (ends[i - 1] if i else 0))

    return place


def check_known(option: str, names: Collection[str], known: Collection[str]) -> None:
    """Errors: ``BadInput`` for names that are no columns."""
    there = frozenset(known)
    for name in names:
        if name not in there:
            raise BadInput(
                f"{option}: there is no column {name!r}: {did_you_mean(str(name), known)}There are {listed(known)}"
            )
