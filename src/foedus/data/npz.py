"""Arrays in a NumPy .npz file."""

from __future__ import annotations

import lzma
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from foedus.core.errors import BadInput
from foedus.data.dataset import Dataset
from foedus.data.files import existing_file, listed, naming
from foedus.data.from_arrays import arrays
from foedus.data.memory import check_packed, fitting

_DAMAGE = (
    OSError, ValueError, EOFError, KeyError, IndexError, OverflowError, NotImplementedError, RuntimeError, struct.error,
    zlib.error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip
"""What zipfile and NumPy raise for archives and headers that are none."""


def npz(
    path: str | os.PathLike[str],
    x: str = "x",
    y: str = "y",
    node: str | None = None,
    x_test: str | None = "x_test",
    y_test: str | None = "y_test",
    test: float | None = None,
    keep_dtype: bool = True,
    test_seed: int = 0,
) -> Dataset:
    """The arrays of an .npz file, by their names.

    ``x``, ``y``  inputs and labels (integers) or targets (floats). ``node``  one id per row, or None.
    ``x_test``, ``y_test``  held-out rows; the default names are taken if the file has both, None takes none.
    ``test``      where there are none: the fraction of rows to hold out, or None; ``test_seed`` picks the draw.
    ``keep_dtype``  uint8 pixels stay uint8 and other integers stay tokens (int64); False makes all inputs float32.
    Pickled objects are never loaded: a file cannot run code. Errors: ``BadInput`` for a missing or damaged file, a name
    that it does not have (with those that it has), an array of objects, and whatever ``arrays`` says.
    """
    file = existing_file(path, "an .npz file; numpy.savez(path, x=x, y=y) writes one")
    with _opened(file) as held:
        names = [_name(e) for e in held.namelist()]
        found = {what: _read(held, file, name) for what, name in (("x", x), ("y", y), ("node", node)) if name}
        defaults = (x_test, y_test) == ("x_test", "y_test")
        pair: Any = None
        if x_test is not None and y_test is not None and not (defaults and not {x_test, y_test} & set(names)):
            pair = _read(held, file, x_test), _read(held, file, y_test)
        elif (x_test is None) != (y_test is None):
            raise BadInput("x_test and y_test belong together: give both names, or None for both")
    if pair is not None and test is not None:
        raise BadInput(
            f"{file} has test rows of its own ({x_test}, {y_test}): leave out test={test!r}, or set x_test and y_test "
            "to None"
        )
    return naming(file, lambda: arrays(
        found["x"], found["y"], node=found.get("node"), test=test if pair is None else pair,
        keep_dtype=keep_dtype, name=file.stem, test_seed=test_seed,
    ))  # fmt: skip


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        with file.open("rb") as f:
            if f.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
                raise BadInput(
                    f"{file} holds a single array: write inputs and labels into one file, numpy.savez(path, x=x, y=y)"
                )
        return zipfile.ZipFile(file)
    except BadInput:
        raise
    except _DAMAGE as e:
        raise BadInput(f"{file} is damaged or not an .npz file: {_line(e)}") from e


def _name(entry: str) -> str:
    return entry.removesuffix(".npy")


def _read(held: zipfile.ZipFile, file: Path, name: str) -> Any:
    """An array by its name. Memory is taken for it when its header and the archive say the same of its size."""
    entries = {_name(e.filename): e for e in held.infolist()}
    if name not in entries:
        raise BadInput(f"{file} has no array {name!r}: it has {listed(entries)}")
    entry, what = entries[name], f"{file}: array {name!r}"
    try:
        with fitting(what):
            with held.open(entry) as f:
                shape, dtype = _header(f)
                needed, there = math.prod(shape) * dtype.itemsize, entry.file_size - f.tell()
            if dtype.hasobject:
                raise BadInput(f"{what} holds pickled objects, which are never loaded: save it as numbers or text")
            if needed != there:
                raise BadInput(
                    f"{what} is damaged: its header says {' x '.join(map(str, shape)) or 'one number'} of {dtype}, "
                    f"{needed:,} bytes, and it has {there:,}"
                )
            check_packed(what, min(entry.compress_size, file.stat().st_size), entry.file_size)
            with held.open(entry) as f:
                return np.lib.format.read_array(f, allow_pickle=False)
    except BadInput:
        raise
    except _DAMAGE as e:
        raise BadInput(f"{what} is damaged: {_line(e)}") from e


def _header(f: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that an array's header announces. Errors: ``ValueError``."""
    version = np.lib.format.read_magic(f)
    # Version 3 differs from 2 in how it writes names of fields, which no array of numbers or text has.
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(f)
    except Exception as e:  # a header is a Python literal: what is none fails in as many ways as Python has
        raise ValueError(_line(e)) from e
    return shape, dtype


def _line(e: Exception) -> str:
    return (str(e).strip().splitlines() or [type(e).__name__])[0]
