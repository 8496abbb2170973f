"""A split in numbers: how the rows of a data set are divided among nodes, and how much nodes differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import torch
from torch import Tensor

from foedus.core.data import FederatedDataset
from foedus.core.run import Run
from foedus.report.units import human_count, percent, three_digits

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Split:
    """``sizes`` rows of every node, ``counts`` rows of each class at each node (n, C), or None where there are none.

    ``classes``  names of the classes.   ``names``  of the nodes, or None where they are numbers.
    ``holdout``  rows that every node holds out, or None where it is not known.
    ``targets``  5, 25, 50, 75 and 95 % quantiles of every node's target (n, 5), for regression with one target.
    ``between``  the share of the target's variance that lies between the means of nodes, likewise.
    """

    sizes: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...] | None = None
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    holdout: tuple[int, ...] | None = None
    targets: tuple[tuple[float, ...], ...] | None = None
    between: float | None = None

    def node(self, k: int) -> str:
        """What node k is called."""
        return f"node {k}" if self.names is None else self.names[k]

    @property
    def everywhere(self) -> tuple[int, ...]:
        """Rows of each class in all data together."""
        return tuple(sum(column) for column in zip(*self.counts, strict=True)) if self.counts else ()

    def classes_held(self) -> list[int]:
        """How many classes each node has rows of."""
        return [sum(c > 0 for c in row) for row in self.counts or ()]

    def commonest(self) -> list[float]:
        """The share of each node's commonest class among its rows."""
        return [max(row) / max(1, sum(row)) for row in self.counts or ()]

    def distances(self) -> list[float]:
        """Total-variation distance of each node's class shares from those of all data: 0 (the same) to 1 (disjoint).

        >>> Split((2, 2), ((2, 0), (0, 2)), ("a", "b")).distances()
        [0.5, 0.5]
        """
        if not self.counts or not sum(self.everywhere):
            return []
        rows_KC = torch.tensor(self.counts, dtype=torch.float64)
        total_C = rows_KC.sum(0)
        shares_KC = rows_KC / rows_KC.sum(1, keepdim=True).clamp(min=1)
        distances: list[float] = ((shares_KC - total_C / total_C.sum()).abs().sum(1) / 2).tolist()
        return distances

    def facts(self) -> str:
        """A sentence or two about all nodes."""
        if self.targets is not None:
            return f"{_sizes(self.sizes)} {self._spread()}".strip()
        return f"{_sizes(self.sizes)} {self._mix()}".strip()

    def _mix(self) -> str:
        commonest = [share for share, row in zip(self.commonest(), self.counts or (), strict=True) if sum(row)]
        totals = self.everywhere
        if not commonest or not sum(totals):
            return ""
        everywhere = percent(max(totals) / sum(totals), 0)
        return (
            f"The median node holds {three_digits(median(self.classes_held()))} of {len(totals)} classes, and its "
            f"commonest class is {percent(median(commonest), 0)} of its rows ({everywhere} in all data together). "
            f"Class shares of nodes are on average {percent(fmean(self.distances()), 0)} away from those of all data "
            "(total variation: 0 % is the same mix, 100 % nothing in common)."
        )

    def _spread(self) -> str:
        middles = [q[2] for q in self.targets or ()]
        said = f"The median target of a node goes from {three_digits(min(middles))} to {three_digits(max(middles))}."
        if self.between is not None:
            said += f" Differences between nodes make up {percent(self.between, 0)} of the target's variance."
        return said


def node_names(what: Run | FederatedDataset) -> tuple[str, ...] | None:
    """The names of nodes, where they are known."""
    names = what.node_names
    return tuple(map(str, names)) if names else None


def of_run(run: Run) -> Split | None:
    """The split a run was made on, None where it does not know its nodes."""
    if not run.sizes:
        return None
    names, counts = node_names(run), run.label_counts
    if not counts or len(counts) != len(run.sizes) or not counts[0]:
        return Split(tuple(run.sizes), names=names)
    classes = _class_names(run.class_names, len(counts[0]))
    return Split(tuple(run.sizes), tuple(map(tuple, counts)), classes, names)


def of_data(data: FederatedDataset) -> Split:
    """The split of a divided data set, with what only the rows themselves can tell."""
    sizes = tuple(data.sizes)
    names, rows = node_names(data), data.holdout_sizes
    held = tuple(rows) if rows and any(rows) else None
    counts = data.label_counts()
    if counts is not None:
        classes = _class_names(data.class_names, len(counts[0]))
        return Split(sizes, tuple(map(tuple, counts)), classes, names, held)
    y = data.y.flatten() if data.y.numel() == len(data.y) else None
    if y is None:
        return Split(sizes, names=names, holdout=held)
    y_M = y[data.index.long()].double()
    node_M = torch.repeat_interleave(torch.arange(data.nodes), data.offsets[1:] - data.offsets[:-1])
    quantiles, between = _quantiles(y_M, node_M, data.offsets), _between(y_M, node_M, sizes)
    return Split(sizes, names=names, holdout=held, targets=quantiles, between=between)


def _class_names(names: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    """What the classes are called; a number alone would not say that it is a class."""
    called = tuple(map(str, names or range(classes)))
    return tuple(f"class {name}" for name in called) if all(name.isdigit() for name in called) else called


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


def _sizes(sizes: Sequence[int]) -> str:
    low, middle, high = min(sizes), median(sizes), max(sizes)
    if low == high:
        return f"Every node holds {low:,} rows."
    largest = f"; the largest holds {three_digits(high / low)} times what the smallest does" if low > 0 else ""
    return f"Nodes hold {low:,} to {high:,} rows (median {human_count(middle)}){largest}."
