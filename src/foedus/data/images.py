"""A folder of pictures, a folder for each class."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.core.types.data import Examples
from foedus.data.dataset import Dataset
from foedus.data.files import existing_folder
from foedus.data.from_arrays import held_out
from foedus.data.holdout import check_fraction
from foedus.data.memory import check_fits
from foedus.data.pillow import SUFFIXES, read, size_of

log = logging.getLogger("foedus")

MEMORY = 2**30
"""Bytes of pixels that are read at once and kept; a larger data set is read when asked for."""


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Pictures that are read when asked for, uint8 (C, H, W)."""

    files: tuple[str, ...]
    size: tuple[int, int]
    grey: bool

    def __len__(self) -> int:
        return len(self.files)

    def gather(self, index: Tensor) -> Tensor:
        """The pictures at these positions; see ``Examples``."""
        return torch.stack([read(Path(self.files[i]), self.size, self.grey) for i in index.tolist()])


def images(
    path: str | os.PathLike[str],
    size: Sequence[int] | None = None,
    test: float | None = None,
    node: str | None = None,
    grey: bool = False,
    in_memory: bool | None = None,
    test_seed: int = 0,
) -> Dataset:
    """Pictures as uint8 pixels (C, H, W), which a ``Model`` scales to [0, 1]; a picture's folder is its class.

    ``path``  ``class/*.png``, or with ``node="folder"`` ``node/class/*.png``; if it has a folder ``train``, training
              rows are in there, and the test rows, in the same arrangement, in ``test``.
    ``size``  (height, width) to which pictures are resized; None if all are of one size.
    ``test``  where there is no folder ``test``: the fraction of rows to hold out, drawn by ``test_seed``, or None.
    ``grey``  one channel; else three.
    ``in_memory``  True reads all at once, False reads when asked for; None keeps up to 1 GiB in memory.

    Classes and rows are in the order of their names. Files that are no pictures by their suffix are left out, and
    counted in the log. Errors: ``BadInput`` for a broken picture, sizes that differ, folders that are not as described.
    """
    root = existing_folder(path, "the folder that holds a folder for each class")
    wanted = _check_options(size, node, grey, in_memory)
    fraction = check_fraction(test)
    # A folder named train with pictures in it is a class, one with folders in it is a part.
    parts = (root / "train").is_dir() and any(f.is_dir() for f in (root / "train").iterdir())
    train_root = root / "train" if parts else root
    test_root = root / "test" if parts and (root / "test").is_dir() else None
    if test_root is not None and fraction is not None:
        raise BadInput(f"{root} has test rows of its own, in test/: leave out test")
    train_files = _find(train_root, node is not None)
    test_files = [] if test_root is None else _find(test_root, node is not None)
    names = tuple(sorted({f.parent.name for f in train_files + test_files}))
    labels = {name: i for i, name in enumerate(names)}
    shape = wanted if wanted is not None else _one_size(train_files + test_files)
    total = (len(train_files) + len(test_files)) * shape[0] * shape[1] * (1 if grey else 3)
    if in_memory is None:
        in_memory = total <= MEMORY
    if in_memory:
        check_fits(f"{root} with in_memory=True", total)

    def rows(files: list[Path]) -> tuple[Tensor | Examples, Tensor]:
        x = ImageFiles(tuple(map(str, files)), shape, grey)
        y = torch.tensor([labels[f.parent.name] for f in files])
        return x.gather(torch.arange(len(x))) if in_memory else x, y

    x, y = rows(train_files)
    x_test, y_test = rows(test_files) if test_files else (None, None)
    owners = np.array([f.parent.parent.name for f in train_files]) if node is not None else None
    data = Dataset(x, y, len(names), names, owners, x_test, y_test, root.resolve().name)
    return data if fraction is None else held_out(data, fraction, test_seed)


def _find(root: Path, by_node: bool) -> list[Path]:
    depth = 3 if by_node else 2
    files = sorted(f for f in root.rglob("*") if f.is_file() and not _hidden(f.relative_to(root)))
    pictures = [f for f in files if f.suffix.lower() in SUFFIXES]
    others = len(files) - len(pictures)
    if others:
        log.warning("%s: files left out that are no pictures: %d", root, others)
    layout = "node/class/picture.png" if by_node else "class/picture.png"
    if not pictures:
        raise BadInput(f"{root} has no pictures: expected {layout}, with one of {', '.join(SUFFIXES)}")
    for f in pictures:
        if len(f.relative_to(root).parts) != depth:
            wrong = f"{f} is not where it should be: {root} must hold {layout}"
            if by_node:
                raise BadInput(f"{wrong} (or leave out node)")
            raise BadInput(f"{wrong} (", Option("node", "folder"), " takes node/class/picture.png)")
    return pictures


def _hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)


def _one_size(files: list[Path]) -> tuple[int, int]:
    first = size_of(files[0])
    for f in files[1:]:
        if (other := size_of(f)) != first:
            raise BadInput(
                f"pictures differ in size: {files[0]} is {first[0]} x {first[1]} (height x width), {f} is "
                f"{other[0]} x {other[1]}; ",
                Option("size", first),
                " resizes them",
            )
    return first


def _check_options(size: Any, node: Any, grey: Any, in_memory: Any) -> tuple[int, int] | None:
    if node not in (None, "folder"):
        raise BadInput(f'images: node must be "folder" (node/class/picture.png) or None, got {node!r}')
    if not isinstance(grey, bool):
        raise BadInput(f"images: grey must be True or False, got {grey!r}")
    if in_memory is not None and not isinstance(in_memory, bool):
        raise BadInput(f"images: in_memory must be True, False or None, got {in_memory!r}")
    return check_size(size)


def check_size(size: Any) -> tuple[int, int] | None:
    """``(height, width)`` or None. Errors: ``BadInput`` for anything else."""
    if size is None:
        return None
    if (
        isinstance(size, str)
        or not isinstance(size, Sequence)
        or len(size) != 2
        or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in size)
    ):
        raise BadInput(f"size must be (height, width) in pixels, or None; got {size!r}")
    return size[0], size[1]
