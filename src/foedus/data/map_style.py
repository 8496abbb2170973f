"""Any map-style torch dataset, with whatever its transform does to a row when it is asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, IterableDataset, Subset, TensorDataset

from foedus.core.errors import BadInput
from foedus.core.types.torch_process import seeded
from foedus.data.dataset import Dataset
from foedus.data.from_arrays import arrays, held_out, kept
from foedus.data.holdout import check_fraction
from foedus.data.pillow import GREY, is_image, pixels


@dataclass(frozen=True, eq=False)
class MapStyle:
    """The inputs of a map-style dataset, read and augmented when asked for, each ``(x, y)`` or ``x`` alone.

    Augmentation may draw from torch's default generator, from Python's ``random`` and from NumPy's global generator:
    the last two are seeded from the first at every call, and then left as they were. (A generator that the dataset
    holds itself goes its own way, another one in every worker.)
    """

    dataset: Any

    def __len__(self) -> int:
        return len(self.dataset)

    def gather(self, index: Tensor) -> Tensor:
        """The inputs at these positions; see ``Examples``."""
        with _all_generators_seeded():
            rows = [as_input(_pair(self.dataset, i)[0], f"x of row {i}") for i in index.tolist()]
        for i, row in zip(index.tolist(), rows, strict=True):
            if row.shape != rows[0].shape or row.dtype != rows[0].dtype:
                raise BadInput(
                    f"row {i} of the torch dataset has shape {tuple(row.shape)} {row.dtype}, row {int(index[0])} "
                    f"{tuple(rows[0].shape)} {rows[0].dtype}: let its transform make all rows alike"
                )
        return torch.stack(rows)


def torch_dataset(
    dataset: Any,
    test: Any = None,
    node: Any = None,
    labels: Any = None,
    classes: int | None = None,
    name: str | None = None,
    test_seed: int = 0,
) -> Dataset:
    """Any torch dataset with ``__len__`` and ``__getitem__ -> (x, y)``; rows are read when asked for.

    ``test``    another such dataset, without augmentation; or a fraction of the rows, which then pass through the
                same transform as the others (``test_seed`` picks the draw); or None.
    ``node``    one id per row, for ``Natural()``.
    ``labels``  one label or target per row. By default those that it says it has (``targets``, ``labels``,
                ``tensors``, also below ``Subset`` and ``ConcatDataset``), or else one pass over it reads them.
    ``classes`` their number, by default the largest label plus one.
    ``name``    by default that of its class.

    x is a tensor, an array, a number or a Pillow image: floats become float32, uint8 pixels stay, other integers are
    tokens (int64). Worker processes get a copy of the dataset, so lambdas will do, and open files will not.
    Errors: ``BadInput`` for what is no map-style dataset, rows that are no pairs, labels of another number.

    >>> from torch.utils.data import TensorDataset
    >>> torch_dataset(TensorDataset(torch.eye(4), torch.tensor([0, 1, 1, 0])))
    Dataset('TensorDataset': 4 rows of (4,), 2 classes, no test rows)
    """
    _check_map_style(dataset, "a torch dataset")
    test_set = None if isinstance(test, int | float) else test
    fraction = check_fraction(test) if test_set is None else None
    if test_set is not None:
        _check_map_style(test_set, "test")
    data = arrays(
        MapStyle(dataset),
        _labels(dataset) if labels is None else labels,
        node,
        None if test_set is None else (MapStyle(test_set), _labels(test_set)),
        classes=classes,
        name=name or type(dataset).__name__,
    )
    names = _class_names(dataset)
    if names is not None and len(names) == data.classes:
        data = replace(data, class_names=names)
    return data if fraction is None else held_out(data, fraction, test_seed)


def as_input(value: Any, what: str) -> Tensor:
    """One input as float32, uint8 or int64."""
    if is_image(value):
        return pixels(value, None, value.mode in GREY, what)
    if isinstance(value, Tensor) and value.dtype in (torch.float32, torch.uint8, torch.int64):
        return value
    return kept(value, what)


@contextmanager
def _all_generators_seeded() -> Iterator[None]:
    seed = int(torch.randint(2**63 - 1, ()))
    python, legacy = random.getstate(), np.random.get_state()
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


def _check_map_style(dataset: Any, what: str) -> None:
    if isinstance(dataset, str):
        raise BadInput(f"{what} must be the dataset itself, got the text {dataset!r}")
    if isinstance(dataset, IterableDataset) or not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise BadInput(
            f"{what} must be a map-style dataset, with __len__ and __getitem__; a {type(dataset).__name__} is none"
        )
    if isinstance(dataset, type):
        raise BadInput(f"{what} must be a dataset, not a class: write {dataset.__name__}(...) with parentheses")
    if len(dataset) == 0:
        raise BadInput(f"{what} is empty: it has no rows")


def _pair(dataset: Any, i: int) -> tuple[Any, Any]:
    row = dataset[i]
    if not isinstance(row, tuple | list) or len(row) != 2:
        kind = f"{len(row)} things" if isinstance(row, tuple | list) else f"a {type(row).__name__}"
        raise BadInput(f"row {i} of the torch dataset is {kind}, expected a pair (x, y)")
    return row[0], row[1]


def _labels(dataset: Any) -> Any:
    """One label or target a row: those that the dataset says it has, if they are what it gives, else by a pass."""
    n = len(dataset)
    with seeded(0), _all_generators_seeded():
        said = _said(dataset)
        if said is not None and len(said) == n:
            ends = (0, n - 1)
            if all(np.array_equal(np.asarray(_pair(dataset, i)[1]), np.asarray(said[i])) for i in ends):
                return said
        rows = [np.asarray(_pair(dataset, i)[1]) for i in range(n)]
    for i, row in enumerate(rows):
        if row.shape != rows[0].shape:
            raise BadInput(f"y of row {i} of the torch dataset has shape {row.shape}, that of row 0 {rows[0].shape}")
    return np.stack(rows)


def _said(dataset: Any) -> Any:
    match dataset:
        case Subset():
            inner = _said(dataset.dataset)
            return None if inner is None else inner[np.asarray(dataset.indices, dtype=np.int64)]
        case ConcatDataset():
            parts = [_said(d) for d in dataset.datasets]
            return None if any(p is None for p in parts) else np.concatenate(parts)
        case TensorDataset():
            return np.asarray(dataset.tensors[1]) if len(dataset.tensors) == 2 else None
    for name in ("targets", "labels"):
        found = getattr(dataset, name, None)
        if found is not None and hasattr(found, "__len__") and len(found) == len(dataset):
            return np.asarray(found)
    return None


def _class_names(dataset: Any) -> tuple[str, ...] | None:
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    names = getattr(dataset, "classes", None)
    return tuple(names) if isinstance(names, list | tuple) and all(isinstance(n, str) for n in names) else None
