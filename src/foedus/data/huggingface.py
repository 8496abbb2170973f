"""Hugging Face data sets that lie on disk. The library's only import is in this file, and nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.data.dataset import Dataset
from foedus.data.files import existing_folder, naming
from foedus.data.from_arrays import arrays, held_out
from foedus.data.holdout import check_fraction
from foedus.data.images import check_size
from foedus.data.pillow import GREY, opened, pixels


@dataclass(frozen=True, eq=False)
class ImageColumn:
    """The pictures of a column, uint8 (C, H, W), read from the memory-mapped files when asked for.

    The column of ``dataset`` is not decoded: it has the bytes or the path of every picture.

    ``size`` (H, W) is theirs, or where ``resizes`` is set that to which they are brought.
    """

    dataset: Any
    column: str
    size: tuple[int, int]
    grey: bool
    resizes: bool

    def __len__(self) -> int:
        return len(self.dataset)

    def gather(self, index: Tensor) -> Tensor:
        """The pictures at these positions; see ``Examples``."""
        found = self.dataset[index.tolist()][self.column]
        return torch.stack([self._pixels(i, image) for i, image in zip(index.tolist(), found, strict=True)])

    def _pixels(self, i: int, held: Any) -> Tensor:
        what = f"{self.column!r} of row {i}"
        with _picture(held, what) as image:
            if not self.resizes and (image.height, image.width) != self.size:
                raise BadInput(
                    f"{what} is {image.height} x {image.width} (height x width), that of row 0 {self.size[0]} x "
                    f"{self.size[1]}: ",
                    Option("size", tuple(self.size)),
                    " resizes them",
                )
            return pixels(image, self.size, self.grey, what)


def huggingface(
    path: str | os.PathLike[str],
    x: str | Sequence[str],
    y: str = "label",
    test: str | float | None = "test",
    node: str | None = None,
    train: str = "train",
    size: Sequence[int] | None = None,
    test_seed: int = 0,
) -> Dataset:
    """A data set that ``save_to_disk`` of the library ``datasets`` wrote; needs the extra ``huggingface``.

    ``path``  the folder: a ``Dataset``, or a ``DatasetDict`` whose split ``train`` has the training rows.
    ``x``     a column of pictures, or of numbers or equally long lists of them; or several columns of numbers, each a
              feature. Pictures become uint8 (C, H, W), grey if the first is, and are read when asked for. Numbers
              become float32, but lists of uint8 stay and lists of other integers are tokens (int64).
    ``y``     labels (``ClassLabel`` or integers) or targets (floats). ``node``  the column of ids, or None.
    ``test``  the split of test rows (of a lone ``Dataset`` the default takes none); a fraction of the training rows
              (``test_seed`` picks the draw); or None.
    ``size``  (height, width) to which pictures are resized; None if all are of one size.
    Errors: ``BadInput`` without the library, and for a folder, split or column that is not there or holds no numbers.
    """
    folder = existing_folder(path, "a folder that save_to_disk wrote")
    columns = [x] if isinstance(x, str) else x
    if not isinstance(columns, list | tuple) or not columns or not all(isinstance(c, str) for c in columns):
        raise BadInput(f"x must be the name of a column, or several; got {x!r}")
    resize = check_size(size)
    loaded = _load(folder)
    rows = _split(loaded, train, folder) if isinstance(loaded, dict) else loaded
    fraction = None if isinstance(test, str) else check_fraction(test)
    test_rows = None
    if isinstance(test, str) and isinstance(loaded, dict):
        test_rows = _split(loaded, test, folder)
    elif isinstance(test, str) and test != "test":
        raise BadInput(f"{folder} is a single Dataset and has no split {test!r}: give a fraction, or None")

    def made() -> Dataset:
        names = getattr(_feature(rows, y), "names", None)
        data = arrays(
            _inputs(rows, columns, resize),
            _numbers(rows, y),
            node=None if node is None else _numbers(rows, node),
            test=None if test_rows is None else (_inputs(test_rows, columns, resize), _numbers(test_rows, y)),
            classes=None if names is None else len(names),
            name=folder.resolve().name,
            keep_dtype=True,
        )
        return replace(
            data,
            class_names=None if names is None else tuple(names),
            feature_names=tuple(columns) if len(columns) > 1 else None,
        )

    data = naming(folder, made)
    return data if fraction is None else held_out(data, fraction, test_seed)


def _load(folder: Path) -> Any:
    try:
        import datasets  # type: ignore[import-untyped]
    except ImportError as e:
        raise BadInput(f"{folder} needs the library datasets: pip install 'foedus[huggingface]'") from e
    try:
        return datasets.load_from_disk(str(folder))
    except Exception as e:  # of many kinds: a file that is missing, JSON that is none, Arrow that is cut short
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
        raise BadInput(f"{folder} is damaged, or not written by save_to_disk: {reason}") from e


def _split(loaded: Any, name: str, folder: Path) -> Any:
    if name not in loaded:
        raise BadInput(f"{folder} has no split {name!r}: it has {', '.join(loaded)}")
    return loaded[name]


def _feature(rows: Any, column: str) -> Any:
    if column not in rows.features:
        raise BadInput(f"there is no column {column!r}: there are {', '.join(rows.features)}")
    return rows.features[column]


def _inputs(rows: Any, columns: Sequence[str], resize: tuple[int, int] | None) -> Any:
    kinds = [type(_feature(rows, c)).__name__ for c in columns]
    if "Image" not in kinds:
        if len(columns) > 1:
            return np.stack([_flat(_numbers(rows, c), c) for c in columns], axis=1)
        values = _numbers(rows, columns[0])
        return values if values.ndim > 1 else _flat(values, columns[0])[:, None]
    if len(columns) > 1:
        raise BadInput("a column of pictures stands alone: ", Option("x", columns[kinds.index("Image")]))
    undecoded = type(_feature(rows, columns[0]))(decode=False)
    pictures = rows.select_columns(list(columns)).cast_column(columns[0], undecoded).with_format(None)
    with _picture(pictures[0][columns[0]] if len(pictures) else None, f"{columns[0]!r} of row 0") as first:
        size = resize if resize is not None else (first.height, first.width)
        return ImageColumn(pictures, columns[0], size, first.mode in GREY, resize is not None)


def _picture(held: Any, what: str) -> Any:
    """A Pillow image of what an undecoded column holds: ``bytes``, or a ``path`` where there are none."""
    content, path = (held or {}).get("bytes"), (held or {}).get("path")
    if content is None and path is None:
        raise BadInput(f"{what} is missing: remove the row")
    try:
        return opened(Path(path or ""), content)
    except BadInput as e:
        raise BadInput(f"{what}: ", *e.args) from e


def _flat(values: NDArray[Any], column: str) -> NDArray[np.float64]:
    """A column that is one feature, float64: integers in it are quantities, not tokens."""
    if values.ndim != 1 or values.dtype.kind not in "fiub":
        raise BadInput(f"column {column!r} holds no single numbers: it cannot be one feature of several")
    return values.astype(np.float64)


def _numbers(rows: Any, column: str) -> NDArray[Any]:
    """A column as an array, in the type that it is declared in."""
    inner = _feature(rows, column)
    while hasattr(inner, "feature"):
        inner = inner.feature
    declared = getattr(inner, "dtype", None)
    dtype = np.dtype(declared) if declared in ("uint8", "uint64", "float64") else None
    values = rows.select_columns([column]).with_format("numpy", **({} if dtype is None else {"dtype": dtype}))[:][
        column
    ]
    a = np.asarray(values)
    if a.dtype.kind not in "fiubU":
        kind = "lists of different lengths, or nothing in some rows" if a.dtype.kind == "O" else str(a.dtype)
        raise BadInput(f"column {column!r} holds {kind}, numbers are needed: map or filter the data set first")
    return a
