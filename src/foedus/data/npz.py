"""Arrays in a NumPy .npz file."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from foedus.core.errors import BadInput
from foedus.data.dataset import Dataset
from foedus.data.files import existing_file, naming
from foedus.data.from_arrays import arrays


def npz(
    path: str | os.PathLike[str],
    x: str = "x",
    y: str = "y",
    node: str | None = None,
    x_test: str | None = "x_test",
    y_test: str | None = "y_test",
    test: float | None = None,
    keep_dtype: bool = True,
) -> Dataset:
    """The arrays of an .npz file, by their names.

    ``x``, ``y``  inputs and labels (integers) or targets (floats). ``node``  one id per row, or None.
    ``x_test``, ``y_test``  held-out rows; the default names are taken if the file has both, None takes none.
    ``test``      where there are none: the fraction of rows to hold out, or None.
    ``keep_dtype``  uint8 pixels stay uint8 and other integers stay tokens (int64); False makes all inputs float32.
    Pickled objects are never loaded: a file cannot run code. Errors: ``BadInput`` for a missing or damaged file, a name
    that it does not have (with those that it has), an array of objects, and whatever ``arrays`` says.
    """
    file = existing_file(path, "an .npz file; numpy.savez(path, x=x, y=y) writes one")
    with _opened(file) as held:
        names = list(held.files)
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
        keep_dtype=keep_dtype, name=file.stem,
    ))  # fmt: skip


def _opened(file: Path) -> Any:
    try:
        held = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise BadInput(f"{file} is damaged or not an .npz file: {_line(e)}") from e
    if not isinstance(held, np.lib.npyio.NpzFile):
        raise BadInput(
            f"{file} holds a single array: write inputs and labels into one file, numpy.savez(path, x=x, y=y)"
        )
    return held


def _read(held: Any, file: Path, name: str) -> Any:
    if name not in held.files:
        raise BadInput(f"{file} has no array {name!r}: it has {', '.join(held.files)}")
    try:
        return held[name]
    except ValueError as e:
        if "allow_pickle" not in str(e):
            raise BadInput(f"{file}: array {name!r} is damaged: {_line(e)}") from e
        raise BadInput(
            f"{file}: array {name!r} holds pickled objects, which are never loaded: save it as numbers or text"
        ) from e
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as e:
        raise BadInput(f"{file}: array {name!r} is damaged: {_line(e)}") from e


def _line(e: Exception) -> str:
    return (str(e).strip().splitlines() or [type(e).__name__])[0]
