"""Rows that go together, such as those of one patient: whatever divides rows has all of a group on one side.

Legend: N rows, G groups, in the order in which they first appear.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.data import Examples
from foedus.core.types.keys import Key
from foedus.data.examples import take
from foedus.data.partitions.partition import Partition


def numbered(group: NDArray[Any]) -> NDArray[np.int64]:
    """The number of each row's group (N,), from 0 up."""
    _, first, of = np.unique(group, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    numbers: NDArray[np.int64] = place[of.reshape(-1)]
    return numbers


def usual(labels: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """The label that most rows of each group have (G,), the lowest of those that as many have."""
    pairs, rows = np.unique(np.stack([group, labels]), axis=1, return_counts=True)
    order = np.lexsort((pairs[1], -rows, pairs[0]))
    _, first = np.unique(pairs[0][order], return_index=True)
    most: NDArray[np.int64] = pairs[1][order][first]
    return most


@dataclass(frozen=True, eq=False)
class Grouped:
    """A data set seen as one of its groups: what a partition deals out where rows go together.

    A group has the mean of its rows' numbers (of pixels, tokens and files its first row), the label that most of them
    have, and the node of all. With a row a group it is the data set itself. ``dataset`` has ``group`` (N,), what each
    row's group is called.
    """

    dataset: Any

    @cached_property
    def of(self) -> NDArray[np.int64]:
        """The number of each row's group (N,)."""
        return numbered(self.dataset.group)

    def __len__(self) -> int:
        return int(self.of.max()) + 1

    @cached_property
    def _first(self) -> NDArray[np.int64]:
        """The first row of each group (G,)."""
        return np.unique(self.of, return_index=True)[1]

    @property
    def name(self) -> str:
        return str(self.dataset.name)

    @property
    def classes(self) -> int | None:
        found: int | None = self.dataset.classes
        return found

    @cached_property
    def x(self) -> Tensor | Examples:
        x: Tensor | Examples = self.dataset.x
        if isinstance(x, Tensor) and x.is_floating_point():
            return self._mean(x)
        return take(x, torch.from_numpy(self._first))

    @cached_property
    def y(self) -> Tensor:
        y: Tensor = self.dataset.y
        return self._mean(y) if self.classes is None else torch.from_numpy(usual(y.numpy(), self.of))

    @property
    def node(self) -> NDArray[Any] | None:
        """The node of each group (G,). Errors: ``BadInput`` for one that is at two."""
        node: NDArray[Any] | None = self.dataset.node
        if node is None:
            return None
        apart = np.flatnonzero(node != node[self._first][self.of])
        if len(apart):
            row = int(apart[0])
            where = node[self._first[self.of[row]]], node[row]
            many = len(np.unique(self.of[apart]))
            column = getattr(self.dataset, "node_column", None)  # a Table's
            anew = "give them other names" if column is None else f"group={(column, self.dataset.group_name)!r}"
            raise BadInput(
                f"the rows of {self.dataset.group_name} {str(self.dataset.group[row])!r} are at {where[0]} and at "
                f"{where[1]}{f', and {many - 1} more are at two nodes' if many > 1 else ''}: what one trains on, the "
                f"other would evaluate on. If each node counts its own: {anew}; if they are the same, leave "
                "them out at one"
            )
        return node[self._first]

    def assign(self, partition: Partition, nodes: int | None, key: Key) -> tuple[Tensor, Tensor]:
        """The rows of a partition of the groups: ``(index, offsets)`` as in ``Partition.assign``.

        Errors: ``BadInput`` with what a row is here, for whatever the partition says.
        """
        try:
            groups, offsets = partition.assign(self, nodes, key)  # type: ignore[arg-type]
        except BadInput as e:
            raise BadInput(
                f"{e} (a row stands for all rows of one {self.dataset.group_name}, which go together)"
            ) from e
        rows = np.argsort(self.of, kind="stable")
        ends = np.concatenate([[0], np.cumsum(np.bincount(self.of))])
        found = [
            np.sort(np.concatenate([rows[:0], *(rows[ends[g] : ends[g + 1]] for g in groups[start:stop].tolist())]))
            for start, stop in pairwise(offsets.tolist())
        ]
        sizes = np.cumsum([0, *map(len, found)])
        return torch.from_numpy(np.concatenate(found)), torch.from_numpy(sizes)

    def _mean(self, values: Tensor) -> Tensor:
        of, rows = torch.from_numpy(self.of), torch.from_numpy(np.bincount(self.of))
        total = torch.zeros(len(self), *values.shape[1:], dtype=values.dtype).index_add_(0, of, values)
        return total / rows.view(-1, *[1] * (values.dim() - 1))
