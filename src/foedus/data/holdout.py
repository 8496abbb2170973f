"""Which rows are held out as the test set."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.core.types.portion import portion
from foedus.data.groups import numbered, usual


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


def can_hold_out(rows: Sized, group: NDArray[Any] | None) -> bool:
    """Whether a node can keep some of its rows from training: it has two of them, of two groups."""
    return len(rows) > 1 and (group is None or bool((group != group[0]).any()))


def holdout(
    y: Tensor, classes: int | None, fraction: float, key: Key, group: NDArray[Any] | None = None
) -> tuple[Tensor, Tensor]:
    """``(train, test)``: positions of the rows to keep and to hold out, each ascending, int64.

    The test set has ``round(fraction * N)`` rows, at least one and at most N-1. With classes it is stratified: each
    class gives its share to within one row, and a class keeps a training row where that can be.
    ``group`` (N,) says which rows stay together, on one side or the other. A group counts to the class that most of its
    rows have, and is held out where that brings the class nearer to its share, so that there may be a few rows more or
    less. With a row a group it is the same draw.
    Errors: ``BadInput`` for fewer than two rows, or two groups.
    """
    rows = len(y)
    if rows < 2:
        raise BadInput(f"cannot hold out test rows: the data has {rows} row; at least two are needed")
    labels = np.zeros(rows, dtype=np.int64) if classes is None else y.numpy()
    of = np.arange(rows) if group is None else numbered(group)
    size_G = np.bincount(of)
    if len(size_G) < 2:
        raise BadInput("cannot hold out test rows: all rows are of one group; at least two are needed")
    labels = labels if group is None else usual(labels, of)
    size_C = np.bincount(labels, size_G, minlength=classes or 1).astype(np.int64)
    share_C = size_C * fraction
    take_C = np.floor(share_C).astype(np.int64)
    wanted = min(max(round(portion(fraction, rows)), 1), rows - 1)
    # What is missing goes to the largest remainders; then to classes that lose their last training row by it; never
    # to classes that have none.
    left_C = size_C - take_C
    remainder_C = np.where(left_C > 1, share_C - take_C, left_C - 2.0)
    take_C[np.argsort(-remainder_C, kind="stable")[: wanted - int(take_C.sum())]] += 1

    shuffled = key.permutation(len(size_G)).numpy()
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]  # by class, at random within each
    if group is None:
        place = np.arange(rows) - np.repeat(np.cumsum(size_C) - size_C, size_C)
        held = np.zeros(rows, dtype=bool)
        held[order] = place < take_C[labels[order]]
    else:
        held = _whole(order, labels, size_G, take_C)[of]
    return torch.from_numpy(np.flatnonzero(~held)), torch.from_numpy(np.flatnonzero(held))


def _whole(
    order: NDArray[np.int64], labels: NDArray[np.int64], size_G: NDArray[np.int64], take_C: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which groups (G,) are held out, asked in this order: those that bring their class nearer to its share."""
    held = np.zeros(len(size_G), dtype=bool)
    left_C, taken_C = np.bincount(labels, minlength=len(take_C)), np.zeros(len(take_C), np.int64)
    for g in order.tolist():
        c, size = labels[g], size_G[g]
        # The last group of a class goes only where all of the class is to go.
        if taken_C[c] + (size if left_C[c] == 1 else size / 2) <= take_C[c]:
            held[g], taken_C[c], left_C[c] = True, taken_C[c] + size, left_C[c] - 1
    if held.all() or not held.any():  # groups are large: the smallest is held out, or kept, alone
        smallest = order[np.argmin(size_G[order])]
        held[smallest] = not held[smallest]
    return held
