"""Every coordinate's K values in order: what the median, the trimmed mean and their like look at.

A block's columns are put side by side, so that one column is a line of memory, and sorted there: NumPy sorts up to a
hundred numbers in a processor's vector registers, which takes less than its selection of one of them does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.aggregators.strips import in_blocks, over_strips

Columns = NDArray[np.floating]
"""Values by coordinate, ascending in each: (C, K); or one of each coordinate: (C,)."""


def over_sorted_columns(
    u_KD: Tensor, of: Callable[[Columns], tuple[Columns, ...]], rows: Tensor | None = None
) -> tuple[Tensor, ...]:
    """``of`` makes of sorted columns (C, K) some vectors (C,), and this of all columns those vectors (D,).

    What ``of`` is given is written over by the next columns: its vectors are no views of it.

    ``rows``  the numbers of the rows that are meant, all by default.
    """
    d = u_KD.shape[1]
    k = len(u_KD) if rows is None else len(rows)
    out: list[Tensor] = []

    def work(strip: slice) -> list[tuple[slice, tuple[Columns, ...]]]:
        made = []
        blocks = list(in_blocks(k, strip))
        widest = max((b.stop - b.start for b in blocks), default=0)
        lines_CK = np.empty((widest, k), dtype=u_KD[:0].numpy().dtype)  # fresh memory would cost as much as the copy
        with np.errstate(over="ignore"):  # whoever reads an answer that is not finite asks for it in float64
            for columns in blocks:
                b_KC = u_KD[:, columns] if rows is None else u_KD[rows, columns]
                sorted_CK = lines_CK[: columns.stop - columns.start]
                np.copyto(sorted_CK, b_KC.numpy().T)
                sorted_CK.sort(axis=1)
                made.append((columns, of(sorted_CK)))
        return made

    for pieces in over_strips(k, d, work):
        for columns, vectors in pieces:
            if not out:
                out = [torch.empty(d, dtype=u_KD.dtype) for _ in vectors]
            for whole, piece in zip(out, vectors, strict=True):
                whole[columns] = torch.from_numpy(piece)
    return tuple(out)


def mean_of(values_CN: Columns) -> Columns:
    """The mean along each line (C,), added up in float64."""
    # einsum: the mean of short lines takes twice as long.
    sum_C = np.einsum("cn->c", values_CN, dtype=np.float64, casting="safe")
    mean_C: Columns = (sum_C / values_CN.shape[1]).astype(values_CN.dtype)
    return mean_C


def middle_of(sorted_CK: Columns) -> Columns:
    """The median of each line (C,): of an even number the mean of the two in the middle."""
    k = sorted_CK.shape[1]
    upper_C = sorted_CK[:, k // 2]
    return upper_C.copy() if k % 2 else (sorted_CK[:, k // 2 - 1] + upper_C) / 2


def share_outside(u_KD: Tensor, low_D: Tensor, high_D: Tensor) -> Tensor:
    """At which share of the coordinates every row is below the low value or above the high one: (K,) float64."""
    k, d = u_KD.shape

    def work(strip: slice) -> Tensor:
        count_K = torch.zeros(k, dtype=torch.int64)
        for columns in in_blocks(k, strip):
            b_KC = u_KD[:, columns]
            count_K += ((b_KC < low_D[columns]) | (b_KC > high_D[columns])).sum(1)
        return count_K

    return torch.stack(over_strips(k, d, work)).sum(0).double() / max(1, d)
