"""What an .npz archive holds, by its arrays' headers, and which of them are inputs, labels and nodes by their names."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from foedus.core.errors import BadInput
from foedus.data.files import listed

DAMAGE = (
    OSError, ValueError, EOFError, KeyError, IndexError, OverflowError, NotImplementedError, RuntimeError, struct.error,
    zlib.error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip
"""What zipfile and NumPy raise for archives and headers that are none."""

INPUTS = ("x", "x_train", "train_x", "images", "train_images", "data", "features", "inputs", "samples", "arr_0")
ANSWERS = ("y", "y_train", "train_y", "labels", "train_labels", "label", "targets", "target", "classes", "arr_1")
INPUTS_TEST = ("x_test", "test_x", "test_images", "images_test", "test_data", "data_test")
ANSWERS_TEST = ("y_test", "test_y", "test_labels", "labels_test", "test_targets", "targets_test")
NODES = ("node", "nodes", "node_train", "client", "clients", "user", "users", "site", "hospital", "writer", "group")
"""Names of arrays, the likeliest first; case makes no difference."""


@dataclass(frozen=True)
class Header:
    """Of one array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def line(self) -> str:
        """As a sentence has it.

        >>> Header((60, 28, 28), np.dtype("uint8")).line
        '60 x 28 x 28 of uint8'
        """
        return f"{' x '.join(map(str, self.shape)) or 'one number'} of {self.dtype}"


@dataclass(frozen=True)
class Roles:
    """Which array is what: names, None where there is none. ``x_test`` and ``y_test`` are both there or neither."""

    x: str
    y: str
    node: str | None = None
    x_test: str | None = None
    y_test: str | None = None

    @property
    def options(self) -> dict[str, str]:
        """The roles that have an array, as options of ``load("npz", ...)``."""
        return {role: name for role, name in vars(self).items() if name is not None}


def opened(file: Path) -> zipfile.ZipFile:
    """The archive. Errors: ``BadInput`` for what is none."""
    try:
        with file.open("rb") as f:
            if f.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
                raise BadInput(
                    f"{file} holds a single array: write inputs and labels into one file, numpy.savez(path, x=x, y=y)"
                )
        return zipfile.ZipFile(file)
    except BadInput:
        raise
    except DAMAGE as e:
        raise BadInput(f"{file} is damaged or not an .npz file: {line(e)}") from e


def headers(file: Path) -> dict[str, Header]:
    """What every array of a file announces of itself. Errors: ``BadInput`` that names the file."""
    with opened(file) as held:
        found = {}
        for entry in held.infolist():
            try:
                with held.open(entry) as f:
                    found[name_of(entry.filename)] = header(f)
            except DAMAGE as e:
                raise BadInput(f"{file}: array {name_of(entry.filename)!r} is damaged: {line(e)}") from e
    return found


def roles(file: Path) -> Roles:
    """Which array of a file is what, by its name, else by its shape: the largest with rows, and one number a row.

    Errors: ``BadInput`` with what there is, where nothing can be inputs or labels.
    """
    found = headers(file)
    rows = {n: h for n, h in found.items() if len(h.shape) > 1 and not h.dtype.hasobject}
    x = _named(INPUTS, rows) or max(rows, key=lambda n: (rows[n].shape[0], np.prod(rows[n].shape)), default=None)
    beside = {} if x is None else _beside(found, found[x].shape[0], {x})
    node = _named(NODES, beside)
    numbers = [n for n, h in beside.items() if h.dtype.kind in "iubf" and n != node]
    y = _named(ANSWERS, numbers) or next(iter(numbers), None)
    if x is None or y is None:
        have = listed(f"{n} ({h.line})" for n, h in found.items()) or "nothing"
        raise BadInput(
            f"{file} has no {'inputs' if x is None else 'labels'} that can be told by name or shape: it has {have}; "
            "numpy.savez(path, x=x, y=y) writes inputs (rows, ...) and a label for each row"
        )
    x_test, y_test = _named(INPUTS_TEST, found), _named(ANSWERS_TEST, found)
    both = x_test is not None and y_test is not None
    return Roles(x, y, node, x_test if both else None, y_test if both else None)


def _named(known: Collection[str], names: Collection[str]) -> str | None:
    by_lower = {n.lower(): n for n in reversed(list(names))}
    return next((by_lower[k] for k in known if k in by_lower), None)


def _beside(found: dict[str, Header], rows: int, without: set[str]) -> dict[str, Header]:
    """The arrays with one value for each of so many rows."""
    return {n: h for n, h in found.items() if h.shape == (rows,) and n not in without and not h.dtype.hasobject}


def name_of(entry: str) -> str:
    """An array's name, by that of its file in the archive."""
    return entry.removesuffix(".npy")


def header(f: IO[bytes]) -> Header:
    """Shape and type that an array's file announces. Errors: ``ValueError``."""
    version = np.lib.format.read_magic(f)
    # Version 3 differs from 2 in how it writes names of fields, which no array of numbers or text has.
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(f)
    except Exception as e:  # a header is a Python literal: what is none fails in as many ways as Python has
        raise ValueError(line(e)) from e
    return Header(shape, dtype)


def line(e: Exception) -> str:
    """The first line of what an error says."""
    return (str(e).strip().splitlines() or [type(e).__name__])[0]
