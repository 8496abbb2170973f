"""Arrays in a NumPy .npz file."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.data.dataset import Dataset
from foedus.data.files import existing_file, listed, naming
from foedus.data.from_arrays import arrays
from foedus.data.memory import check_packed, fitting
from foedus.data.npz_file import DAMAGE, header, line, name_of, opened, roles
from foedus.data.shaped import shaped


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
    shape: Sequence[int] | None = None,
) -> Dataset:
    """The arrays of an .npz file, by their names.

    ``x``, ``y``  inputs and labels (integers) or targets (floats). ``node``  one id per row, or None.
    ``x_test``, ``y_test``  held-out rows; the default names are taken if the file has both, None takes none.
    ``test``      where there are none: the fraction of rows to hold out, or None; ``test_seed`` picks the draw.
    ``keep_dtype``  uint8 pixels stay uint8 and other integers stay tokens (int64); False makes all inputs float32.
    ``shape``     of a row, such as (1, 28, 28) for pixels that are flat or have no channel.
    Pickled objects are never loaded: a file cannot run code. Errors: ``BadInput`` for a missing or damaged file, a name
    that it does not have (with those that it has), an array of objects, and whatever ``arrays`` says.
    """
    file = existing_file(path, "an .npz file; numpy.savez(path, x=x, y=y) writes one")
    with opened(file) as held:
        names = [name_of(e) for e in held.namelist()]
        found = {what: _read(held, file, what, name) for what, name in (("x", x), ("y", y), ("node", node)) if name}
        defaults = (x_test, y_test) == ("x_test", "y_test")
        pair: Any = None
        if x_test is not None and y_test is not None and not (defaults and not {x_test, y_test} & set(names)):
            pair = _read(held, file, "x_test", x_test), _read(held, file, "y_test", y_test)
        elif (x_test is None) != (y_test is None):
            raise BadInput("x_test and y_test belong together: give both names, or None for both")
    if pair is not None and test is not None:
        raise BadInput(
            f"{file} has test rows of its own ({x_test}, {y_test}): leave out test, or give ",
            Option("x_test", None),
            " and ",
            Option("y_test", None),
        )
    return naming(file, lambda: arrays(
        shaped(found["x"], shape), found["y"], node=found.get("node"),
        test=test if pair is None else (shaped(pair[0], shape), pair[1]),
        keep_dtype=keep_dtype, name=file.stem, test_seed=test_seed,
    ))  # fmt: skip


def _read(held: zipfile.ZipFile, file: Path, role: str, name: str) -> Any:
    """An array by its name. Memory is taken for it when its header and the archive say the same of its size."""
    entries = {name_of(e.filename): e for e in held.infolist()}
    if name not in entries:
        raise BadInput(f"{file} has no array {name!r}: it has {listed(entries)}", *_taken_for(file, role))
    entry, what = entries[name], f"{file}: array {name!r}"
    try:
        with fitting(what):
            with held.open(entry) as f:
                says = header(f)
                needed, there = math.prod(says.shape) * says.dtype.itemsize, entry.file_size - f.tell()
            if says.dtype.hasobject:
                raise BadInput(f"{what} holds pickled objects, which are never loaded: save it as numbers or text")
            if needed != there:
                raise BadInput(
                    f"{what} is damaged: its header says {says.line}, {needed:,} bytes, and it has {there:,}"
                )
            check_packed(what, min(entry.compress_size, file.stat().st_size), entry.file_size)
            with held.open(entry) as f:
                return np.lib.format.read_array(f, allow_pickle=False)
    except BadInput:
        raise
    except DAMAGE as e:
        raise BadInput(f"{what} is damaged: {line(e)}") from e


def _taken_for(file: Path, role: str) -> tuple[str | Option, ...]:
    """The end of an error: the array that may be meant by a role, if any is likely to be."""
    try:
        name = roles(file).options.get(role)
    except BadInput:
        return ()
    return () if name is None else ("; it may be ", Option(role, name))
