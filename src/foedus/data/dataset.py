"""A data set before it is divided: rows, labels or targets, a held-out test set, perhaps a node for each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.cell import facts, framed, paragraph
from foedus.core.errors import BadInput
from foedus.core.types.data import Examples, FederatedDataset, about_target, check_rows, row_shape
from foedus.data.divide import divide
from foedus.data.partitions.partition import Partition
from foedus.data.root import with_root

MOST_CLASSES = 2**20
"""More classes than this are refused: every node would count rows of each."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Rows and what is to be learned from them.

    ``x`` (N, ...): float32 numbers, uint8 pixels (a ``Model`` scales them to [0, 1]), int64 tokens, or ``Examples``
    that are read when asked for. ``y`` (N,) int64 labels 0 .. classes-1, or (N, ...) float32 targets.
    ``classes`` is the number of classes, or None for regression; ``class_names`` has one name for each.
    ``node`` (N,) one id per row, integers or strings: whose row it is. ``Natural()`` divides by it.
    ``node_names``: where ids are integers from 0 up, the name of each; else an id is its own name.
    ``group`` (N,) what rows belong together by, such as a patient's number: all rows of one are on one side of every
    split, and at one node. ``group_name``: what it is called in sentences.
    ``test_x``, ``test_y``: held-out rows of the same shapes, or None. They belong to no node.
    ``units`` (N,), ``test_units`` int64: what was drawn as one, see ``FederatedDataset``; None: a row's own position.
    Errors: ``BadInput`` for shapes, lengths or types that do not fit, NaN or infinity (with its place), labels outside
    the classes.

    >>> import numpy as np
    >>> from foedus.data import IID, arrays
    >>> data = arrays(np.eye(6), np.array([0, 1, 2, 0, 1, 2]))
    >>> data
    Dataset('arrays': 6 rows of (6,), 3 classes, no test rows)
    >>> data.split(IID(), nodes=4, seed=0).sizes
    [2, 1, 2, 1]
    """

    x: Tensor | Examples
    y: Tensor
    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    node: NDArray[Any] | None = None
    test_x: Tensor | Examples | None = None
    test_y: Tensor | None = None
    name: str = "arrays"
    feature_names: tuple[str, ...] | None = None
    node_names: tuple[str, ...] | None = None
    units: Tensor | None = None
    test_units: Tensor | None = None
    group: NDArray[Any] | None = None
    group_name: str = "group"

    def __post_init__(self) -> None:
        if self.classes is not None and self.classes > MOST_CLASSES:
            raise BadInput(
                f"classes is {self.classes}, at most {MOST_CLASSES:,} can be told apart: each has an output and a count"
            )
        _check_part(self.x, self.y, self.classes, "the data")
        if (self.test_x is None) != (self.test_y is None):
            raise BadInput("the test set needs both test_x and test_y, or neither")
        if self.test_x is not None and self.test_y is not None:
            _check_part(self.test_x, self.test_y, self.classes, "the test set")
            for part, test, train in (("x", self.test_x, self.x), ("y", self.test_y, self.y)):
                if row_shape(test) != row_shape(train):
                    raise BadInput(
                        f"a test row of {part} has shape {row_shape(test)}, "
                        f"a training row {row_shape(train)}: they must be the same"
                    )
            if isinstance(self.x, Tensor) and isinstance(self.test_x, Tensor) and self.x.dtype != self.test_x.dtype:
                raise BadInput(f"x of the test set is {self.test_x.dtype}, x {self.x.dtype}: they must be the same")
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise BadInput(f"{len(self.class_names)} class names for {self.classes} classes")
        if self.node is not None and self.node.shape != (len(self.x),):
            raise BadInput(
                f"node must hold one id per row, shape ({len(self.x)},); it has shape {tuple(self.node.shape)}"
            )
        if self.group is not None and self.group.shape != (len(self.x),):
            raise BadInput(f"group must hold one value per row, shape ({len(self.x)},); it has {self.group.shape}")
        for name, units, y in (("units", self.units, self.y), ("test_units", self.test_units, self.test_y)):
            if units is not None and (y is None or units.shape != (len(y),)):
                raise BadInput(f"{name} must be one whole number for each of the rows, not {tuple(units.shape)}")
        if self.node_names is not None:
            known = len(self.node_names)
            if self.node is None or self.node.dtype.kind not in "iu":
                raise BadInput("node_names needs node to hold integers, the positions of names")
            if not 0 <= int(self.node.min()) <= int(self.node.max()) < known:
                raise BadInput(
                    f"node goes from {self.node.min()} to {self.node.max()}, but there are {known} node_names"
                )

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        kind = "regression" if self.classes is None else f"{self.classes} classes"
        test = "no" if self.test_x is None else f"{len(self.test_x):,}"
        node = "" if self.node is None else ", a node for each row"
        return f"Dataset({self.name!r}: {len(self):,} rows of {row_shape(self.x)}, {kind}, {test} test rows{node})"

    def _repr_html_(self) -> str:
        told = [
            ("rows", f"{len(self):,}, each of shape {row_shape(self.x)}"),
            *about_target(self.classes, self.class_names),
            ("test rows", "none" if self.test_x is None else f"{len(self.test_x):,}"),
            ("nodes", "a node for each row" if self.node is not None else "not divided yet: split(partition, nodes)"),
        ]
        return framed(paragraph(self.name, bold=True), facts(told))

    def split(
        self,
        partition: Partition,
        nodes: int | None = None,
        seed: int = 0,
        holdout: float | None = None,
        root: int | None = None,
    ) -> FederatedDataset:
        """Divide the training rows among nodes; the rows themselves stay in one place, uncopied.

        ``partition`` says how (``IID()``, ``Shards()``, ``Dirichlet(alpha)``, ``Natural()`` or your own),
        ``nodes`` among how many (None is for ``Natural()``, which knows), ``seed`` picks the draw. ``holdout`` is the
        fraction of its rows that every node keeps from training, to evaluate on: in proportion to its classes, none
        at a node with a single row. ``root``: so many of the rows are the coordinator's own instead (``ROOT``), to
        measure nodes by. Errors: ``BadInput`` where not every node can get a row.
        """
        d = divide(self, partition, nodes, seed, holdout)
        made = FederatedDataset(
            x=self.x,
            y=self.y,
            index=d.index,
            offsets=d.offsets,
            test_x=self.test_x,
            test_y=self.test_y,
            classes=self.classes,
            class_names=self.class_names,
            name=self.name,
            partition=repr(partition),
            held_index=d.held_index,
            held_offsets=d.held_offsets,
            node_names=d.node_names,
            feature_names=self.feature_names,
            units=self.units,
            test_units=self.test_units,
        )
        return made if root is None else with_root(made, root, seed)


def _check_part(x: Tensor | Examples, y: Tensor, classes: int | None, what: str) -> None:
    if isinstance(x, Tensor) and x.dtype not in (torch.float32, torch.uint8, torch.int64):
        raise BadInput(
            f"{what}: x must be float32 (or uint8 pixels, or int64 tokens), it is {x.dtype}; "
            "foedus.data.arrays converts"
        )
    wanted = torch.float32 if classes is None else torch.int64
    if y.dtype != wanted:
        kind = "targets of a regression must be float32" if classes is None else "labels must be int64"
        raise BadInput(f"{what}: {kind}, y is {y.dtype}; foedus.data.arrays converts")
    if isinstance(x, Tensor) and x.dim() < 2:
        raise BadInput(
            f"{what}: x must have rows and columns, shape (rows, ...); it has shape {tuple(x.shape)}; "
            "write x[:, None] for a single column"
        )
    if y.dim() < 1 or (classes is not None and y.dim() != 1):
        shape = "(rows,)" if classes is not None else "(rows,) or (rows, targets)"
        raise BadInput(f"{what}: y must have shape {shape}; it has shape {tuple(y.shape)}")
    check_rows(x, y, classes, what)
    if isinstance(x, Tensor) and x[0].numel() == 0:
        raise BadInput(f"{what}: x has no columns, its shape is {tuple(x.shape)}")
