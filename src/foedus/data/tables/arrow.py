"""Columns as they come out of files, held by Arrow: this is the only file that imports pyarrow, and only when asked."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from foedus.core.errors import BadInput
from foedus.data.files import read_bytes
from foedus.data.memory import check_packed, fitting, is_shortage
from foedus.data.tables.advice import drop
from foedus.data.tables.files import NoRows, Reading, Text, check_names, no_title
from foedus.data.tables.opened import Opened


def _pyarrow(part: str = "") -> Any:
    # By name: importing it takes a third of a second, which only those who read tables should wait.
    try:
        return importlib.import_module(f"pyarrow.{part}" if part else "pyarrow")
    except ImportError as e:
        raise BadInput(f"tables are read by pyarrow, which is not installed: pip install pyarrow ({e})") from e


ALONE = 1 << 22
"""Bytes of a text that one thread reads as fast. A process that ends just after Arrow began threads may be aborted."""
ASCII = 128
"""The bytes of letters that are ASCII are below this."""
Stored = Literal["category", "text", "number"]


class Cells:
    """One column of N cells: text without spaces around it, or numbers of a typed file; null where missing.

    ``stored``: what its file says that they are, whatever they look like: category, text or number; None where a file
    has text alone, as CSV has, or says different things of different cells.
    ``units``: of a column of amounts the units that stood in its cells ("": none did). ``pending``: the array is the
    chunks of text as they stand in a file, in which these stand for nothing; it is cleaned when cells are first asked
    for, and whoever wants some rows (``take``) or counts (``gaps``, ``counts``) of many does not wait for that.
    """

    def __init__(self, array: Any, pending: tuple[str, ...] | None = None, stored: Stored | None = None) -> None:
        self._given, self._pending, self.stored = array, pending, stored
        self.units: tuple[str, ...] = ()

    def _like(self, array: Any, pending: tuple[str, ...] | None = None) -> Cells:
        """Other cells of the same column."""
        cells = Cells(array, pending, self.stored)
        cells.units = self.units
        return cells

    @property
    def _array(self) -> Any:
        if self._pending is not None:
            self._given, self._pending = _clean(_one(self._given), self._pending), None
        return self._given

    def __len__(self) -> int:
        return len(self._given)

    @classmethod
    def of(cls, values: Sequence[Any], reading: Reading, stored: Stored | None = None) -> Cells:
        """Python values: numbers, text, booleans, None."""
        shown = [None if v is None else str(v).lower() if isinstance(v, bool | np.bool_) else str(v) for v in values]
        return cls(_pyarrow().chunked_array([shown], _pyarrow().string()), reading.missing_values, stored)

    @classmethod
    def typed(cls, values: Sequence[Any], reading: Reading) -> Cells:
        """The same of a file whose cells are numbers or text by themselves."""
        kinds = {type(v) for v in values} - {type(None)}
        stored: Stored | None = "text" if kinds == {str} else "number" if kinds and kinds <= {int, float} else None
        return cls.of(values, reading, stored)

    @classmethod
    def joined(cls, parts: Sequence[Cells]) -> Cells:
        """The cells of several files, one after the other."""
        pa, types = _pyarrow(), _pyarrow("types")
        said = {p.stored for p in parts if not types.is_null(p._given.type)}
        stored: Stored | None = "category" if "category" in said else said.pop() if len(said) == 1 else None
        (pending, *others) = {p._pending for p in parts}
        if pending is not None and not others:
            chunks = [chunk for p in parts for chunk in p._given.chunks]
            return cls(pa.chunked_array(chunks, pa.string()), pending, stored)
        arrays = [p._array for p in parts]
        kinds = {a.type for a in arrays if not types.is_null(a.type)} or {pa.null()}
        if len(kinds) == 1:  # of a column in which nothing is any kind will do
            (kind,) = kinds
            return cls(pa.concat_arrays([a.cast(kind) for a in arrays]), stored=stored)
        # Typed differently by their files (integers here, text there): text is what they have in common.
        return cls(pa.concat_arrays([_text(a) for a in arrays]), stored=stored)

    @classmethod
    def nothing(cls, rows: int) -> Cells:
        """A column that a file lacks."""
        return cls(_pyarrow().nulls(rows))

    @classmethod
    def repeated(cls, word: str | None, rows: int, reading: Reading) -> Cells:
        """The same text in every row."""
        pa = _pyarrow()
        return cls(_clean(pa.repeat(pa.scalar(word, pa.string()), rows), reading.missing_values))

    def take(self, rows: NDArray[np.int64]) -> Cells:
        """The cells of these rows."""
        return self._like(self._given.take(_pyarrow().array(rows)), self._pending)

    def gaps(self) -> int:
        """How many cells are missing."""
        pc = _pyarrow("compute")
        if self._pending is None:
            return int(self._given.null_count)
        trimmed = _trimmed(self._given)
        longest = max((len(t.strip().encode()) for t in self._pending), default=0)
        short = trimmed.filter(pc.less_equal(pc.binary_length(trimmed), longest))  # most columns have few of these
        return int(self._given.null_count) + int(pc.sum(_is_among(short, self._pending)).as_py() or 0)

    def _gone(self) -> Any:
        if self._pending is None:
            return self._given.is_null()
        pc = _pyarrow("compute")
        return pc.or_(self._given.is_null(), _is_among(_trimmed(self._given), self._pending))

    def counts(self, most: int) -> dict[str, int] | None:
        """The different values, each with the number of its rows; None where there are more than ``most``."""
        pc = _pyarrow("compute")
        given = _text(self._given)
        seen = pc.value_counts(given)
        if len(seen) > 4 * most:  # spaces around them may tell apart what is one value
            return None
        words = seen.field(0) if self._pending is None else _clean(seen.field(0), self._pending)
        found: dict[str, int] = {}
        for word, rows in zip(words.to_pylist(), seen.field(1).to_pylist(), strict=True):
            if word is not None:
                found[word] = found.get(word, 0) + rows
        return found if len(found) <= most else None

    def all_different(self) -> bool:
        """Whether no two cells have the same, where there is something."""
        pc = _pyarrow("compute")
        there = self._given.filter(pc.invert(self._gone())) if self.gaps() else self._given
        there = there if self._pending is None else _trimmed(there)
        return int(pc.count_distinct(there).as_py()) == len(there)

    def having(self, words: Sequence[str]) -> int:
        """How many cells are one of these."""
        pa, pc = _pyarrow(), _pyarrow("compute")
        given = pc.utf8_trim_whitespace(_text(self._given))
        return int(pc.sum(pc.is_in(given, value_set=pa.array(list(words), pa.string()))).as_py() or 0)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where nothing is (N,)."""
        return np.asarray(self._array.is_null().to_numpy(zero_copy_only=False), dtype=bool)

    @property
    def is_text(self) -> bool:
        """Whether its file says no more of the cells than that they are text."""
        return bool(self._given.type == _pyarrow().string())

    @property
    def declared(self) -> bool:
        """Whether its file declares that its values name something: a category, although they may be digits."""
        return self.stored == "category"

    @property
    def dated(self) -> bool:
        """Whether a typed file calls it a date or a time."""
        return bool(_pyarrow("types").is_temporal(self._given.type))

    def numbers(self) -> NDArray[np.float64] | None:
        """The cells as numbers (N,), NaN where missing; None if one of them is not a number."""
        pa, pc = _pyarrow(), _pyarrow("compute")
        if self.dated:
            return None
        try:
            cast = pc.cast(self._array, pa.float64(), safe=False)
        except pa.ArrowInvalid:
            return None
        values: NDArray[np.float64] = cast.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        return None if int(np.isnan(values).sum()) > self._array.null_count else values

    def texts(self) -> tuple[NDArray[np.int64], list[str]]:
        """``(codes, words)``: the cells (N,) as places in the list of their different values, -1 where missing."""
        encoded = _text(self._array).dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return codes, encoded.dictionary.to_pylist()

    @property
    def rounded(self) -> NDArray[np.bool_]:
        """Where a number is so large that its file, which has floats, does not tell it from its neighbours (N,)."""
        pa, pc, types = _pyarrow(), _pyarrow("compute"), _pyarrow("types")
        if not types.is_floating(self._array.type):
            return np.zeros(len(self), dtype=bool)
        exact = 2.0 ** {16: 11, 32: 24, 64: 53}[self._array.type.bit_width]
        large = pc.greater(pc.abs(pc.cast(self._array, pa.float64())), exact)
        return np.asarray(large.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)

    def each(self, change: Callable[[str], str | None]) -> Cells:
        """As text, in which every different one is what ``change`` makes of it; None is missing."""
        pa = _pyarrow()
        encoded = _text(self._array).dictionary_encode()
        return self._like(
            pa.array([change(word) for word in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)
        )

    def without(self, texts: Sequence[str]) -> Cells:
        """A column of text, missing where it is one of these, whatever their case."""
        if self._pending is not None:
            return self._like(self._given, (*self._pending, *texts))
        return self._like(_without(self._array, texts))

    def with_points(self) -> Cells:
        """A column of text whose numbers had decimal commas."""
        pattern = r"^([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)$"
        return self._like(_pyarrow("compute").replace_substring_regex(self._array, pattern, r"\1.\2"))

    def without_numbers(self, gone: Sequence[float]) -> Cells:
        """A column of numbers, missing where it is one of these, as a column of its type holds them (float32: -9.9)."""
        pa, pc, types = _pyarrow(), _pyarrow("compute"), _pyarrow("types")
        kind = self._array.type
        held = pa.array(gone, kind).cast(pa.float64()) if types.is_floating(kind) else pa.array(gone, pa.float64())
        there = pc.is_in(pc.cast(self._array, pa.float64(), safe=False), value_set=held)
        return self._like(pc.if_else(there, pa.scalar(None, kind), self._array))

    def __getitem__(self, row: int) -> str | None:
        """One cell as text."""
        value: str | None = _text(self._array.slice(row, 1))[0].as_py()
        return value


def read_csv(file: Text, reading: Reading, keep: Callable[[str], bool]) -> dict[str, Cells]:
    """The columns of a CSV file whose names are to be kept. Errors: ``BadInput`` for rows of different lengths."""
    pa, csv = _pyarrow(), _pyarrow("csv")
    rest = memoryview(file.data)[file.start :]
    if not bytes(rest[:65536]).strip() and not bytes(rest).strip():
        raise NoRows(file.path)
    kept = [n for n in file.names if keep(n)]
    try:
        table = csv.read_csv(
            pa.py_buffer(rest),
            read_options=csv.ReadOptions(column_names=file.names, use_threads=len(rest) > ALONE),
            # A quoted newline keeps the reader from dividing the file among threads.
            parse_options=csv.ParseOptions(delimiter=file.delimiter, newlines_in_values=b'"' in file.data),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(file.names, pa.string()), include_columns=kept, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as e:
        for line, fields in file.records():
            if len(fields) != len(file.names):
                raise BadInput(
                    f"line {line} of {file.path} has {len(fields)} values, the header {len(file.names)} names: "
                    f"mend the line, or quote a value that holds {file.delimiter!r}"
                    f"{no_title('the first line', len(file.names), len(fields))}"
                ) from e
        raise _unreadable(file.path, "CSV", e) from e
    except pa.ArrowException as e:
        raise _unreadable(file.path, "CSV", e) from e
    return {name: Cells(table.column(name), reading.missing_values) for name in kept}


def read_parquet(path: Path, reading: Reading, keep: Callable[[str], bool]) -> Opened:
    """The columns of a Parquet file whose names are to be kept, and all names.

    Errors: ``BadInput`` for a file that is not Parquet, has no rows, or a column that holds lists or bytes; and before
    anything is read, for one whose metadata promises more than ``memory.packed_limit``.
    """
    parquet = _pyarrow("parquet")
    with _readable(path, "Parquet"), parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        check_names(path, names)
        kept = [n for n in names if keep(n)]
        check_packed(path, path.stat().st_size, _promised(file, set(kept)))
        table = file.read(columns=kept)
    return _opened(path, list(names), table, reading)


def read_arrow(path: Path, reading: Reading, keep: Callable[[str], bool]) -> Opened:
    """The same of an Arrow file (Feather, version 2). Errors: as of ``read_parquet``, and for what is inconsistent."""
    pa, ipc = _pyarrow(), _pyarrow("ipc")
    with _readable(path, "Arrow"), ipc.open_file(pa.py_buffer(read_bytes(path))) as file:
        names = file.schema.names
        check_names(path, names)
        table = file.read_all().select([n for n in names if keep(n)])
        table.validate(full=True)  # what a damaged file's offsets point at is not looked at before
    return _opened(path, list(names), table, reading)


def read_orc(path: Path, reading: Reading, keep: Callable[[str], bool]) -> Opened:
    """The same of an ORC file. Errors: as of ``read_parquet``."""
    pa, orc = _pyarrow(), _pyarrow("orc")
    with _readable(path, "ORC"):
        raw = read_bytes(path)
        file = orc.ORCFile(pa.py_buffer(raw))
        names = file.schema.names
        check_names(path, names)
        kept = [n for n in names if keep(n)]
        check_packed(path, len(raw), file.nrows * len(kept))
        table = file.read(columns=kept)
        table.validate(full=True)
    return _opened(path, list(names), table, reading)


def _opened(path: Path, names: list[str], table: Any, reading: Reading) -> Opened:
    """An Arrow table as what was opened. Errors: ``BadInput`` without rows, and for columns of lists or bytes."""
    if not len(table):
        raise NoRows(path)
    categories = _categories(table.schema)
    cells = {n: _typed(n, path, _one(table.column(n)), reading, n in categories) for n in table.column_names}
    return Opened(names, cells, lambda row: f"row {row + 1} of {path}")


def _categories(schema: Any) -> set[str]:
    """The columns that pandas notes as categories, of which Parquet keeps the type of their values alone."""
    try:
        noted = (schema.pandas_metadata or {}).get("columns", [])
        return {str(c["field_name"]) for c in noted if c["pandas_type"] == "categorical"}
    except (ValueError, TypeError, KeyError, AttributeError):  # a note of another shape says nothing
        return set()


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    """Meanwhile whatever pyarrow says of a file that it cannot read is a ``BadInput`` that names it."""
    try:
        with fitting(path):
            yield
    except BadInput:
        raise
    except (_pyarrow().ArrowException, OSError, ValueError, TypeError, OverflowError, KeyError) as e:
        # OverflowError: what it says of itself is nonsense.
        raise _unreadable(path, what, e) from e


def _unreadable(path: Path, what: str, e: Exception) -> Exception:
    """The error of a file that pyarrow cannot read; one about memory stays what it is."""
    if is_shortage(e):
        return e
    return BadInput(f"{path} cannot be read as {what}: {(str(e).splitlines() or [type(e).__name__])[0]}")


def _promised(file: Any, names: set[str]) -> int:
    """The bytes of these columns in memory as metadata has it: at least one a cell, for few cells may fill a column."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    columns = [[c for c in map(g.column, range(g.num_columns)) if c.path_in_schema in names] for g in groups]
    unpacked = sum(c.total_uncompressed_size for of_group in columns for c in of_group)
    cells = file.metadata.num_rows * len(names)
    return max(int(unpacked), int(cells))


def _one(column: Any) -> Any:
    """The chunks of a column as one array."""
    whole = column.combine_chunks()
    pa = _pyarrow()
    if isinstance(whole, pa.ChunkedArray):
        return pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    return whole


def _typed(name: str, path: Path, array: Any, reading: Reading, is_category: bool) -> Cells:
    """A column as its type says, or a note that it is a category. A dictionary is how others keep one (pandas, R)."""
    pa, pc, types = _pyarrow(), _pyarrow("compute"), _pyarrow("types")
    kind = array.type
    declared: Stored | None = "category" if is_category or types.is_dictionary(kind) else None
    if types.is_dictionary(kind):
        array, kind = array.cast(kind.value_type), kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view":
        return Cells(_clean(array.cast(pa.string()), reading.missing_values), stored=declared or "text")
    if types.is_boolean(kind):
        return Cells(array.cast(pa.string()), stored=declared)
    if types.is_floating(kind):
        return Cells(pc.if_else(pc.is_nan(array), pa.scalar(None, kind), array), stored=declared or "number")
    if types.is_integer(kind) or types.is_decimal(kind):
        return Cells(array, stored=declared or "number")
    if types.is_temporal(kind) or types.is_null(kind):
        return Cells(array, stored=declared)
    raise BadInput(f"column {name} of {path} holds {kind}, neither numbers nor text: ", drop(name))


def _clean(array: Any, missing: Sequence[str]) -> Any:
    """Text without spaces around it, null where it stands for nothing."""
    return _without(_trimmed(array), missing)


def _without(array: Any, missing: Sequence[str]) -> Any:
    """Text, null where it is one of these, whatever their case."""
    pa, pc = _pyarrow(), _pyarrow("compute")
    return pc.if_else(_is_among(array, missing), pa.scalar(None, pa.string()), array)


def _is_among(array: Any, texts: Sequence[str]) -> Any:
    """Where a text is one of these, whatever their case."""
    pa, pc = _pyarrow(), _pyarrow("compute")
    lower = pc.ascii_lower(array) if _is_ascii(array) else pc.utf8_lower(array)
    return pc.is_in(lower, value_set=pa.array(sorted({t.strip().lower() for t in texts}), pa.string()))


def _trimmed(array: Any) -> Any:
    """Text without spaces around it."""
    pc = _pyarrow("compute")
    if all(part.min() > ord(" ") and part.max() < ASCII for part in _bytes(array)):
        return array  # most columns have no space anywhere, and their bytes are looked through in no time
    return pc.ascii_trim_whitespace(array) if _is_ascii(array) else pc.utf8_trim_whitespace(array)


def _is_ascii(array: Any) -> bool:
    """Whether a text has no other letters: then it is trimmed and put into one case in half the time, and the same."""
    return all(part.max() < ASCII for part in _bytes(array))


def _bytes(array: Any) -> Iterator[NDArray[np.uint8]]:
    """All bytes of a text: those of its cells, and of a larger text that it is a part of."""
    for chunk in array.chunks if isinstance(array, _pyarrow().ChunkedArray) else [array]:
        data = chunk.buffers()[2]
        if data is not None and data.size:
            yield np.frombuffer(data, np.uint8)


def _text(array: Any) -> Any:
    """Numbers as texts that tell different ones apart: ``1500000``, not ``1.5e+06``, and ``12``, not ``12.00``."""
    pa, pc, types = _pyarrow(), _pyarrow("compute"), _pyarrow("types")
    if array.type == pa.string():
        return array
    text = pc.cast(array, pa.string())
    if types.is_decimal(array.type):
        return pc.replace_substring_regex(text, r"^(-?\d+)(?:\.0*|(\.\d*[1-9])0*)$", r"\1\2")
    if types.is_floating(array.type) and pc.any(pc.match_substring(text, "e+")).as_py():
        large = pc.and_(pc.match_substring(text, "e+"), pc.less(pc.abs(array), EXACT))
        whole = pc.cast(pc.cast(pc.if_else(large, array, 0.0), pa.int64(), safe=False), pa.string())
        return pc.if_else(large, whole, text)
    return text


EXACT = 2.0**53
"""Up to here a float64 holds every integer."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
"""What is a number in a cell."""
