"""Images in idx files: the format of MNIST, Fashion-MNIST and their kin.

An idx file is a magic number (two zero bytes, the type of an element, the number of dimensions), each dimension as
a big-endian 32-bit integer, then the elements. Images are unsigned bytes in three dimensions, labels in one.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foedus.core.errors import BadInput
from foedus.data.dataset import Dataset
from foedus.data.files import existing_folder, read_bytes
from foedus.data.from_arrays import arrays
from foedus.data.memory import fitting

UNSIGNED_BYTE = 0x08


def idx(path: str | os.PathLike[str], flat: bool = True, limit: int | None = None, dtype: str = "float32") -> Dataset:
    """The four idx files of a folder, with pixels scaled to [0, 1].

    ``path``   a folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
               ``t10k-labels-idx1-ubyte``; a ``.`` may stand before ``idx``, and each may end in ``.gz``.
    ``flat``   rows of x are (height * width,), or else (1, height, width).
    ``limit``  keep no more than so many rows of each part, from its beginning; the classes are those of all rows.
    ``dtype``  ``"float32"``, or ``"uint8"``: a quarter of the memory; a ``Model`` scales pixels itself.
    Errors: ``BadInput`` for a missing file (with the names looked for), a wrong magic number, a file shorter or longer
    than its header says, a damaged .gz, or counts of images and labels that differ.
    Source: http://yann.lecun.com/exdb/mnist (LeCun, Cortes and Burges).
    """
    if not isinstance(flat, bool):
        raise BadInput(f"flat must be True or False, got {flat!r}")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise BadInput(f"limit must be a positive integer or None, got {limit!r}")
    if dtype not in ("float32", "uint8"):
        raise BadInput(f'dtype must be "float32" or "uint8", got {dtype!r}')
    folder = existing_folder(path, "the folder that holds the idx files")
    (x, y), (x_test, y_test) = _part(folder, "train"), _part(folder, "t10k")
    with fitting(folder):
        return arrays(
            _pixels(x[:limit], flat, dtype),
            y[:limit],
            test=(_pixels(x_test[:limit], flat, dtype), y_test[:limit]),
            classes=1 + max(int(y.max()), int(y_test.max())),
            name=folder.resolve().name,
            keep_dtype=True,
        )


def _part(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images_file, labels_file = _find(folder, f"{part}-images", 3), _find(folder, f"{part}-labels", 1)
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(images) != len(labels):
        raise BadInput(
            f"{images_file.name} has {len(images)} images but {labels_file.name} has {len(labels)} labels: "
            f"the files in {folder} do not belong together"
        )
    return images, labels


def _find(folder: Path, stem: str, dimensions: int) -> Path:
    names = [f"{stem}{dot}idx{dimensions}-ubyte{gz}" for gz in ("", ".gz") for dot in "-."]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise BadInput(f"{folder} has no {stem}: looked for {', '.join(names)}")


def read_idx(file: Path, dimensions: int) -> NDArray[np.uint8]:
    """The unsigned bytes of one idx file (plain, or a gzip), in this many dimensions, none of them 0.

    Errors: ``BadInput`` that names the file and says what is wrong with it. The header is believed only after the
    file has turned out to be as long as it says.
    """
    raw = read_bytes(file)
    start = 4 + 4 * dimensions
    if len(raw) < start:
        raise BadInput(f"{file} is truncated: it has {len(raw)} bytes, its header alone needs {start}")
    magic, *shape = struct.unpack_from(f">{1 + dimensions}I", raw)
    expected = UNSIGNED_BYTE << 8 | dimensions
    if magic != expected:
        raise BadInput(
            f"{file} starts with the magic number 0x{magic:08x}, expected 0x{expected:08x} "
            f"(unsigned bytes in {dimensions} dimension{'s' if dimensions > 1 else ''}): "
            "it is not the idx file its name says"
        )
    size = math.prod(shape)
    by = " x ".join(map(str, shape))
    if len(raw) - start != size:
        wrong = "is truncated" if len(raw) - start < size else "is too long"
        raise BadInput(f"{file} {wrong}: its header says {by} = {size} bytes of data, it has {len(raw) - start}")
    if size == 0:
        raise BadInput(f"{file} is empty: its header says {by}")
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)


def _pixels(images: NDArray[np.uint8], flat: bool, dtype: str) -> NDArray[Any]:
    n, height, width = images.shape
    x: NDArray[Any] = images.reshape((n, height * width) if flat else (n, 1, height, width))
    if dtype == "float32":
        x = x.astype(np.float32)
        x /= 255.0
    return x
