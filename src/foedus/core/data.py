"""Whose data: rows in one place, and for every node the positions of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.update import Tensors

POOLED = -1
"""The pseudo-node that holds all rows: the baseline that pools the data."""
TEST = -2
"""The pseudo-node that holds the test set (the training rows where there is none)."""


@dataclass(frozen=True)
class IndexedRows:
    """The rows of one node: positions into shared tensors. Batches are gathered into fresh, aligned memory."""

    x: Tensor
    y: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, positions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``(x, y)`` of the rows at these positions (int64, 0 .. len-1), or of all rows in order."""
        index = self.index if positions is None else self.index.index_select(0, positions)
        return self.x.index_select(0, index), self.y.index_select(0, index)


@dataclass
class FederatedDataset:
    """A data set divided among nodes. A node costs a pair of offsets, so a million of them cost megabytes.

    ``x`` (N, ...) float32 and ``y`` (N,) int64 labels or (N, ...) float32 targets, in one place.
    ``index`` (M,) int64 or int32: node k's rows are ``index[offsets[k]:offsets[k+1]]``. ``offsets`` (n+1,) int64.
    ``classes`` is the number of classes, or None for regression. ``test_x``, ``test_y``: held-out rows, or None.
    Errors: ``BadInput`` for an empty node, positions outside the rows, NaN in the data or labels outside the classes.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    offsets: Tensor
    test_x: Tensor | None = None
    test_y: Tensor | None = None
    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    name: str = "arrays"
    partition: str = ""

    def __post_init__(self) -> None:
        self._bounds = self.offsets.numpy()  # NumPy hands out single numbers ten times faster than torch
        check_rows(self.x, self.y, self.classes, "the data")
        if self.test_x is not None and self.test_y is not None:
            check_rows(self.test_x, self.test_y, self.classes, "the test set")
            if self.test_x.shape[1:] != self.x.shape[1:]:
                raise BadInput(
                    f"test rows have shape {tuple(self.test_x.shape[1:])}, training rows {tuple(self.x.shape[1:])}"
                )
        sizes = self.offsets[1:] - self.offsets[:-1]
        if len(sizes) == 0:
            raise BadInput("a federation needs at least one node")
        if int(sizes.min()) <= 0:
            node = int((sizes <= 0).nonzero()[0])
            raise BadInput(
                f"node {node} has no rows: every node needs at least one; use fewer nodes, a milder partition "
                "or its minimum size"
            )
        if int(self.offsets[0]) != 0 or int(self.offsets[-1]) != len(self.index):
            raise BadInput(
                f"offsets go from {int(self.offsets[0])} to {int(self.offsets[-1])}, expected 0 to {len(self.index)}, "
                "the length of index"
            )
        if int(self.index.min()) < 0 or int(self.index.max()) >= len(self.x):
            raise BadInput(f"the partition names rows outside 0..{len(self.x) - 1}")

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return len(self.offsets) - 1

    @property
    def sizes(self) -> list[int]:
        """Rows of every node."""
        return (self.offsets[1:] - self.offsets[:-1]).tolist()

    def size(self, node: int) -> int:
        """Rows of one node, of ``POOLED`` or of ``TEST``."""
        if node == POOLED:
            return len(self.index)
        if node == TEST:
            return len(self.x if self.test_x is None else self.test_x)
        return int(self._bounds[node + 1] - self._bounds[node])

    def rows(self, node: int) -> IndexedRows:
        """The rows of one node, of ``POOLED`` or of ``TEST``."""
        if node == POOLED:
            return IndexedRows(self.x, self.y, self.index)
        if node == TEST:
            x, y = (self.x, self.y) if self.test_x is None or self.test_y is None else (self.test_x, self.test_y)
            return IndexedRows(x, y, torch.arange(len(x)))
        return IndexedRows(self.x, self.y, self.index[int(self._bounds[node]) : int(self._bounds[node + 1])])

    def label_counts(self) -> list[list[int]] | None:
        """Rows of each class at each node (n, C), or None for regression."""
        if self.classes is None:
            return None
        node = torch.repeat_interleave(torch.arange(self.nodes), self.offsets[1:] - self.offsets[:-1])
        flat = node * self.classes + self.y[self.index.long()].long()
        return torch.bincount(flat, minlength=self.nodes * self.classes).view(self.nodes, self.classes).tolist()

    def use(self, tensors: Tensors) -> None:
        """Read the same values from other memory: a runtime has put them where its workers can read them."""
        for name, t in tensors.items():
            setattr(self, name, t)
        self._bounds = self.offsets.numpy()

    def tensors(self) -> Tensors:
        """All tensors by name: what a runtime puts where its workers can read it."""
        held = {"x": self.x, "y": self.y, "index": self.index, "offsets": self.offsets}
        if self.test_x is not None and self.test_y is not None:
            held |= {"test_x": self.test_x, "test_y": self.test_y}
        return held


def check_rows(x: Tensor, y: Tensor, classes: int | None, what: str) -> None:
    """Errors: ``BadInput`` for lengths that differ, NaN or infinity with its place, labels outside ``classes``."""
    if len(x) != len(y):
        raise BadInput(f"{what}: {len(x)} rows of x but {len(y)} of y")
    if len(x) == 0:
        raise BadInput(f"{what}: there are no rows")
    for name, t in (("x", x), ("y", y)):
        # The sum is finite unless a value is not (or it overflows): the slow search runs only then.
        if t.is_floating_point() and not bool(torch.isfinite(t.sum(dtype=torch.float64))):
            bad = (~torch.isfinite(t)).nonzero()
            if len(bad):
                row, *rest = bad[0].tolist()
                where = f"row {row}" + (f", column {rest[0]}" if len(rest) == 1 else f", place {rest}" if rest else "")
                raise BadInput(
                    f"{what}: {name} has {len(bad)} NaN or infinite values, the first in {where}; remove or impute them"
                )
    if classes is not None:
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= classes:
            row = int(((y < 0) | (y >= classes)).nonzero()[0][0])
            raise BadInput(
                f"{what}: label {int(y[row])} in row {row} is outside the {classes} classes 0..{classes - 1}"
            )
