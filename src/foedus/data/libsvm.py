"""Sparse rows in the text format of LIBSVM and svmlight: ``label place:value place:value ...``, read by scikit-learn.

Source: Chang and Lin, LIBSVM: a library for support vector machines, ACM TIST, 2011.
"""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foedus.core.errors import BadInput
from foedus.data.dataset import Dataset
from foedus.data.files import naming, read_bytes
from foedus.data.from_arrays import arrays
from foedus.data.memory import check_fits, fitting
from foedus.data.recognised import LIBSVM
from foedus.data.tables.files import Paths, find, stem

MOST_LABELS = 20
"""Integers with at most so many different values are labels, not amounts; as of a table's target."""


def libsvm(
    path: Paths,
    test: float | str | os.PathLike[str] | None = 0.2,
    task: str | None = None,
    features: int | None = None,
) -> Dataset:
    """Rows of sparse text, as dense float32 (N, F).

    ``path``  a file, a folder of files, a pattern or a list; several files are a node each, named after the file.
    ``test``  the fraction of rows to hold out, a file of its own (``a9a.t``), or None.
    ``task``  ``"classification"`` or ``"regression"``; by default at most 20 different integers are labels, in order.
    ``features``  F, where it is more than the files' largest place. Places count from 1, or from 0 where one is 0.

    Errors: ``BadInput`` for what is no such file, and rows that do not fit in memory when they are dense.
    """
    if task not in (None, "classification", "regression"):
        raise BadInput(f"task must be 'classification', 'regression' or None (by the labels), got {task!r}")
    if features is not None and (isinstance(features, bool) or not isinstance(features, int) or features < 1):
        raise BadInput(f"features must be a positive integer or None, got {features!r}")
    files = find(path, LIBSVM)
    judged = find(os.fspath(test), LIBSVM) if isinstance(test, str | os.PathLike) else []
    name = stem(files[0]) if len(files) == 1 else files[0].parent.name or "libsvm"
    with fitting(path):
        xs, ys = _read([*files, *judged], features)
        n = len(files)
        labels, names = _targets(ys, task)
        held = (np.concatenate(xs[n:]), np.concatenate(labels[n:])) if judged else test
        node = None if n == 1 else np.repeat([stem(f) for f in files], [len(y) for y in ys[:n]])
        data = naming(files[0] if n == 1 else files[0].parent, lambda: arrays(
            np.concatenate(xs[:n]), np.concatenate(labels[:n]), node=node, test=held, name=name,
            classes=None if names is None else len(names),
        ))  # fmt: skip
    return data if names is None else replace(data, class_names=names)


def _read(files: list[Path], features: int | None) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """``x`` (N, F) and labels (N,) of every file; F is the same in all."""
    from sklearn.datasets import load_svmlight_files  # takes its time to import

    try:
        found = load_svmlight_files([io.BytesIO(read_bytes(f)) for f in files], n_features=features, dtype=np.float32)
    except (ValueError, IndexError, OverflowError, TypeError) as e:
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
        raise BadInput(
            f"{files[0]} cannot be read as LIBSVM's text: {reason}; a row is a label, then place:value with spaces "
            "between, places ascending"
        ) from e
    rows, labels = found[::2], found[1::2]
    for file, y in zip(files, labels, strict=True):
        if not len(y):
            raise BadInput(f"{file} is empty: a row is a label, then place:value with spaces between")
    if not sum(x.nnz for x in rows):
        raise BadInput(f"{files[0]} has labels and no values")
    cells = sum(x.shape[0] for x in rows) * rows[0].shape[1]
    check_fits(f"{files[0]}, {rows[0].shape[1]:,} columns by its largest place, all dense,", 4 * cells)
    return [x.toarray() for x in rows], labels


def _targets(ys: list[NDArray[Any]], task: str | None) -> tuple[list[NDArray[Any]], tuple[str, ...] | None]:
    """Labels (N,) int64 and their names in order, or targets (N,) float32 and None."""
    different = np.unique(np.concatenate(ys))
    whole = bool(np.all(different == np.floor(different))) and bool(np.all(np.isfinite(different)))
    if task == "classification" and not whole:
        raise BadInput(f"labels must be integers, and one is {different[different != np.floor(different)][0]}")
    if task == "regression" or (task is None and not (whole and len(different) <= MOST_LABELS)):
        return [y.astype(np.float32) for y in ys], None
    if len(different) < 2:
        raise BadInput(f"all rows have the label {different[0]:g}: there is nothing to learn")
    return [np.searchsorted(different, y) for y in ys], tuple(f"{v:.0f}" for v in different)
