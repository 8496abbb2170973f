"""Which rows are held out as the test set."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.core.types.portion import portion


def check_fraction(test: Any) -> float | None:
    """The fraction of rows to hold out, or None. Errors: ``BadInput`` for anything else."""
    if test is None or (isinstance(test, float | np.floating) and 0.0 < test < 1.0):
        return None if test is None else float(test)
    shown = repr(test) if isinstance(test, int | float | str) else f"a {type(test).__name__}"
    raise BadInput(f"test must be a fraction between 0 and 1 such as 0.2, or None; got {shown}")


def check_seed(seed: Any) -> None:
    """Errors: ``BadInput`` for what is no seed of test rows."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise BadInput(f"test_seed must be an integer, got {seed!r}")


def holdout(y: Tensor, classes: int | None, fraction: float, key: Key) -> tuple[Tensor, Tensor]:
    """``(train, test)``: positions of the rows to keep and to hold out, each ascending, int64.

    The test set has ``round(fraction * N)`` rows, at least one and at most N-1. With classes it is stratified: each
    class gives its share to within one row, and a class keeps a training row where that can be.
    Errors: ``BadInput`` for fewer than two rows.
    """
    rows = len(y)
    if rows < 2:
        raise BadInput(f"cannot hold out test rows: the data has {rows} row; at least two are needed")
    labels = np.zeros(rows, dtype=np.int64) if classes is None else y.numpy()
    size_C = np.bincount(labels, minlength=classes or 1)
    share_C = size_C * fraction
    take_C = np.floor(share_C).astype(np.int64)
    wanted = min(max(round(portion(fraction, rows)), 1), rows - 1)
    # What is missing goes to the largest remainders; then to classes that lose their last training row by it; never
    # to classes that have none.
    left_C = size_C - take_C
    remainder_C = np.where(left_C > 1, share_C - take_C, left_C - 2.0)
    take_C[np.argsort(-remainder_C, kind="stable")[: wanted - int(take_C.sum())]] += 1

    shuffled = key.permutation(rows).numpy()
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]  # by class, at random within each
    place = np.arange(rows) - np.repeat(np.cumsum(size_C) - size_C, size_C)
    held = np.zeros(rows, dtype=bool)
    held[order] = place < take_C[labels[order]]
    return torch.from_numpy(np.flatnonzero(~held)), torch.from_numpy(np.flatnonzero(held))
