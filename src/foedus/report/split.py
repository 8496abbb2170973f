"""A split in numbers: how the rows of a data set are divided among nodes, and how much nodes differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

import numpy as np

from foedus.core.records.run import Run
from foedus.report.units import human_count, percent, three_digits

if TYPE_CHECKING:
    from foedus.core.types.data import FederatedDataset


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
        rows_KC = np.array(self.counts, dtype=np.float64)
        total_C = rows_KC.sum(0)
        shares_KC = rows_KC / rows_KC.sum(1, keepdims=True).clip(min=1)
        distances: list[float] = (np.abs(shares_KC - total_C / total_C.sum()).sum(1) / 2).tolist()
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
    classes = class_names(run.class_names, len(counts[0]))
    return Split(tuple(run.sizes), tuple(map(tuple, counts)), classes, names)


def class_names(names: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    """What the classes are called; a number alone would not say that it is a class."""
    called = tuple(map(str, names or range(classes)))
    return tuple(f"class {name}" for name in called) if all(name.isdigit() for name in called) else called


def _sizes(sizes: Sequence[int]) -> str:
    low, middle, high = min(sizes), median(sizes), max(sizes)
    if len(sizes) == 1:
        return f"The only node holds {low:,} rows."
    if low == high:
        return f"Every node holds {low:,} rows."
    largest = f"; the largest holds {three_digits(high / low)} times what the smallest does" if low > 0 else ""
    return f"Nodes hold {low:,} to {high:,} rows (median {human_count(middle)}){largest}."
