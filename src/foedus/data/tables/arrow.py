"""Columns as they come out of files, held by Arrow: this is the only file that imports pyarrow, and only when asked."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foedus.core.errors import BadInput
from foedus.data.files import read_bytes
from foedus.data.memory import check_packed, fitting, is_shortage
from foedus.data.tables.advice import drop
from foedus.data.tables.files import NoRows, Reading, Text, check_names
from foedus.data.tables.opened import Opened


def _pyarrow(part: str = "") -> Any:
    # By name: importing it takes a third of a second, which only those who read tables should wait.
    try:
        return importlib.import_module(f"pyarrow.{part}" if part else "pyarrow")
    except ImportError as e:
        raise BadInput(f"tables are read by pyarrow, which is not installed: pip install pyarrow ({e})") from e


class Cells:
    """One column of N cells: text without spaces around it, or numbers of a typed file; null where missing.

    ``units``: of a column of amounts the units that stood in its cells ("": none did).
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self.units: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._array)

    @classmethod
    def of(cls, values: Sequence[Any], reading: Reading) -> Cells:
        """Python values: numbers, text, booleans, None."""
        shown = [None if v is None else str(v).lower() if isinstance(v, bool | np.bool_) else str(v) for v in values]
        return cls(_clean(_pyarrow().array(shown, _pyarrow().string()), reading))

    @classmethod
    def joined(cls, parts: Sequence[Cells]) -> Cells:
        """The cells of several files, one after the other."""
        pa, types = _pyarrow(), _pyarrow("types")
        kinds = {p._array.type for p in parts if not types.is_null(p._array.type)} or {pa.null()}
        if len(kinds) == 1:  # of a column in which nothing is any kind will do
            (kind,) = kinds
            return cls(pa.concat_arrays([p._array.cast(kind) for p in parts]))
        # Typed differently by their files (integers here, text there): text is what they have in common.
        return cls(pa.concat_arrays([_text(p._array) for p in parts]))

    @classmethod
    def nothing(cls, rows: int) -> Cells:
        """A column that a file lacks."""
        return cls(_pyarrow().nulls(rows))

    @classmethod
    def repeated(cls, word: str | None, rows: int, reading: Reading) -> Cells:
        """The same text in every row."""
        pa = _pyarrow()
        return cls(_clean(pa.repeat(pa.scalar(word, pa.string()), rows), reading))

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where nothing is (N,)."""
        return np.asarray(self._array.is_null().to_numpy(zero_copy_only=False), dtype=bool)

    @property
    def is_text(self) -> bool:
        """Whether its file says no more of the cells than that they are text."""
        return bool(self._array.type == _pyarrow().string())

    @property
    def dated(self) -> bool:
        """Whether a typed file calls it a date or a time."""
        return bool(_pyarrow("types").is_temporal(self._array.type))

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
        return Cells(
            pa.array([change(word) for word in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)
        )

    def without(self, texts: Sequence[str]) -> Cells:
        """A column of text, missing where it is one of these, whatever their case."""
        return Cells(_without(self._array, texts))

    def with_points(self) -> Cells:
        """A column of text whose numbers had decimal commas."""
        pattern = r"^([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)$"
        return Cells(_pyarrow("compute").replace_substring_regex(self._array, pattern, r"\1.\2"))

    def without_numbers(self, gone: Sequence[float]) -> Cells:
        """A column of numbers, missing where it is one of these, as a column of its type holds them (float32: -9.9)."""
        pa, pc, types = _pyarrow(), _pyarrow("compute"), _pyarrow("types")
        kind = self._array.type
        held = pa.array(gone, kind).cast(pa.float64()) if types.is_floating(kind) else pa.array(gone, pa.float64())
        there = pc.is_in(pc.cast(self._array, pa.float64(), safe=False), value_set=held)
        return Cells(pc.if_else(there, pa.scalar(None, kind), self._array))

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
            read_options=csv.ReadOptions(column_names=file.names),
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
                ) from e
        raise _unreadable(file.path, "CSV", e) from e
    except pa.ArrowException as e:
        raise _unreadable(file.path, "CSV", e) from e
    return {name: Cells(_clean(_one(table.column(name)), reading)) for name in kept}


def read_parquet(path: Path, reading: Reading, keep: Callable[[str], bool]) -> Opened:
    """The columns of a Parquet file whose names are to be kept, and all names.

    Errors: ``BadInput`` for a file that is not Parquet, has no rows, or a column that holds lists or bytes; and before
    anything is read, for one whose metadata promises more than ``memory.packed_limit``.
    """
    pa, parquet = _pyarrow(), _pyarrow("parquet")
    try:
        with fitting(path), parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            check_names(path, names)
            kept = [n for n in names if keep(n)]
            check_packed(path, path.stat().st_size, _promised(file, set(kept)))
            table = file.read(columns=kept)
    except BadInput:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as e:  # the last: metadata that is none
        raise _unreadable(path, "Parquet", e) from e
    return _opened(path, list(names), table, reading)


def read_arrow(path: Path, reading: Reading, keep: Callable[[str], bool]) -> Opened:
    """The same of an Arrow file (Feather, version 2). Errors: as of ``read_parquet``, and for what is inconsistent."""
    pa, ipc = _pyarrow(), _pyarrow("ipc")
    try:
        raw = read_bytes(path)
        with fitting(path), ipc.open_file(pa.py_buffer(raw)) as file:
            names = file.schema.names
            check_names(path, names)
            table = file.read_all().select([n for n in names if keep(n)])
            table.validate(full=True)  # what a damaged file's offsets point at is not looked at before
    except BadInput:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, KeyError) as e:
        raise _unreadable(path, "Arrow", e) from e
    return _opened(path, list(names), table, reading)


def read_orc(path: Path, reading: Reading, keep: Callable[[str], bool]) -> Opened:
    """The same of an ORC file. Errors: as of ``read_parquet``."""
    pa, orc = _pyarrow(), _pyarrow("orc")
    try:
        raw = read_bytes(path)
        with fitting(path):
            file = orc.ORCFile(pa.py_buffer(raw))
            names = file.schema.names
            check_names(path, names)
            kept = [n for n in names if keep(n)]
            check_packed(path, len(raw), file.nrows * len(kept))
            table = file.read(columns=kept)
            table.validate(full=True)
    except BadInput:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, KeyError) as e:
        raise _unreadable(path, "ORC", e) from e
    return _opened(path, list(names), table, reading)


def _opened(path: Path, names: list[str], table: Any, reading: Reading) -> Opened:
    """An Arrow table as what was opened. Errors: ``BadInput`` without rows, and for columns of lists or bytes."""
    if not len(table):
        raise NoRows(path)
    cells = {name: Cells(_typed(name, path, _one(table.column(name)), reading)) for name in table.column_names}
    return Opened(names, cells, lambda row: f"row {row + 1} of {path}")


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


def _typed(name: str, path: Path, array: Any, reading: Reading) -> Any:
    pa, pc, types = _pyarrow(), _pyarrow("compute"), _pyarrow("types")
    kind = array.type
    if types.is_dictionary(kind):
        array, kind = array.cast(kind.value_type), kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view":
        return _clean(array.cast(pa.string()), reading)
    if types.is_boolean(kind):
        return array.cast(pa.string())
    if types.is_floating(kind):
        return pc.if_else(pc.is_nan(array), pa.scalar(None, kind), array)
    if types.is_integer(kind) or types.is_decimal(kind) or types.is_temporal(kind) or types.is_null(kind):
        return array
    raise BadInput(f"column {name} of {path} holds {kind}, neither numbers nor text: ", drop(name))


def _clean(array: Any, reading: Reading) -> Any:
    """Text without spaces around it, null where it stands for nothing in any column."""
    return _without(_pyarrow("compute").utf8_trim_whitespace(array), reading.missing_values)


def _without(array: Any, missing: Sequence[str]) -> Any:
    """Text, null where it is one of these, whatever their case."""
    pa, pc = _pyarrow(), _pyarrow("compute")
    nothing = pa.array(sorted({v.strip().lower() for v in missing}), pa.string())
    return pc.if_else(pc.is_in(pc.utf8_lower(array), value_set=nothing), pa.scalar(None, pa.string()), array)


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
