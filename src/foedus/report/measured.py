"""The split of a data set whose rows are here, measured: what only the rows themselves can tell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foedus.core.types.data import FederatedDataset
from foedus.report.split import QUANTILES, Split, class_names, node_names


def of_data(data: FederatedDataset) -> Split:
    """The split of a divided data set, with what only the rows themselves can tell."""
    sizes = tuple(data.sizes)
    names, rows = node_names(data), data.holdout_sizes
    held = tuple(rows) if rows and any(rows) else None
    counts = data.label_counts()
    if counts is not None:
        classes = class_names(data.class_names, len(counts[0]))
        return Split(sizes, tuple(map(tuple, counts)), classes, names, held)
    y = data.y.flatten() if data.y.numel() == len(data.y) else None
    if y is None:
        return Split(sizes, names=names, holdout=held)
    y_M = y[data.index.long()].double()
    node_M = torch.repeat_interleave(torch.arange(data.nodes), data.offsets[1:] - data.offsets[:-1])
    quantiles, between = _quantiles(y_M, node_M, data.offsets), _between(y_M, node_M, sizes)
    return Split(sizes, names=names, holdout=held, targets=quantiles, between=between)


def _quantiles(y_M: Tensor, node_M: Tensor, offsets: Tensor) -> tuple[tuple[float, ...], ...]:
    """Of every node's values, interpolated as NumPy does; all nodes at once, for there may be a million."""
    by_value = torch.argsort(y_M, stable=True)
    sorted_M = y_M[by_value[torch.argsort(node_M[by_value], stable=True)]]
    start_K, last_K = offsets[:-1], (offsets[1:] - offsets[:-1] - 1).double()
    found = []
    for q in QUANTILES:
        at_K = last_K * q
        below_K = at_K.floor()
        a_K = sorted_M[start_K + below_K.long()]
        b_K = sorted_M[start_K + at_K.ceil().long()]
        found.append(a_K + (b_K - a_K) * (at_K - below_K))
    return tuple(map(tuple, torch.stack(found, 1).tolist()))


def _between(y_M: Tensor, node_M: Tensor, sizes: Sequence[int]) -> float | None:
    size_K = torch.tensor(sizes, dtype=torch.float64)
    mean_K = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, node_M, y_M) / size_K
    total = float(((y_M - y_M.mean()) ** 2).sum())
    return float((size_K * (mean_K - y_M.mean()) ** 2).sum()) / total if total > 0 else None
