"""Whose data: rows in one place, and for every node the positions of its own."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from foedus.core.cell import ends, facts, framed, grid, paragraph
from foedus.core.errors import BadInput
from foedus.core.text import readable
from foedus.core.types.cells import cells
from foedus.core.types.torch_process import seeded
from foedus.core.types.update import Tensors

POOLED = -1
"""The pseudo-node that holds all rows: the baseline that pools the data."""
TEST = -2
"""The pseudo-node that holds the test set: rows of no node, else all that nodes hold out, else the training rows."""
HELD = -3
"""The pseudo-node that holds all rows that nodes hold out: beside a test set, a stopping point is chosen there."""

ROOT = -4
"""The pseudo-node that holds the root data set: rows that the coordinator holds itself, to measure nodes by."""


def called(node: int) -> str:
    """A node in a sentence; what is no node has no number.

    >>> called(3), called(POOLED), called(TEST)
    ('node 3', 'all rows in one place', 'the rows that the model is tested on')
    """
    places = {
        POOLED: "all rows in one place",
        TEST: "the rows that the model is tested on",
        HELD: "the held-out rows",
        ROOT: "the root data set",
    }
    return places.get(node, f"node {node}")


NO_ROOT = (
    "this needs a root data set, rows that the coordinator holds itself, and there is none: give split(..., root=100), "
    "or root = 100 in the file's [data]"
)

PROBES = 16
"""How many inputs that are read when asked for are looked at to tell one data set from another."""


@runtime_checkable
class Examples(Protocol):
    """Inputs that are not one tensor in memory: files that are read, or images that are augmented, when asked for."""

    def __len__(self) -> int: ...

    def gather(self, index: Tensor) -> Tensor:
        """The inputs at these positions (int64), stacked (B, ...). Whatever it draws, it draws from torch's default
        generator, which is seeded for every job.
        """
        ...


@dataclass(frozen=True)
class IndexedRows:
    """The rows of one node: positions into shared tensors. Batches are gathered into fresh, aligned memory.

    ``known_cells`` are those of the rows, where they were found for many nodes at once: see ``cells``.
    """

    x: Tensor | Examples
    y: Tensor
    index: Tensor
    known_cells: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def cells(self) -> Tensor:
        """Half and group of every row (n,), int64: see ``core.types.cells``."""
        if self.known_cells is not None:
            return self.known_cells
        return cells_of(self.index, self.y.index_select(0, self.index), torch.zeros_like(self.index))

    @property
    def in_memory(self) -> bool:
        """Whether inputs are the same whenever they are asked for; else they may be augmented, and cost a read."""
        return isinstance(self.x, Tensor)

    def batch(self, positions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``(x, y)`` of the rows at these positions (int64, 0 .. len-1), or of all rows in order."""
        index = self.index if positions is None else self.index.index_select(0, positions)
        if isinstance(self.x, Tensor):
            x = self.x.index_select(0, index)
        else:
            x = self.x.gather(index.long()) if len(index) else glimpse(self.x, 1)[:0]
        return x, self.y.index_select(0, index)


@dataclass(repr=False)
class FederatedDataset:
    """A data set divided among nodes, all of it in one place: ``core.types.roster.Roster`` and ``RowStore`` at once.

    A node costs a pair of offsets, so a million of them cost megabytes.

    ``x`` (N, ...) numbers or ``Examples``, and ``y`` (N,) int64 labels or (N, ...) float32 targets, in one place.
    ``index`` (M,) int64 or int32: node k's rows are ``index[offsets[k]:offsets[k+1]]``. ``offsets`` (n+1,) int64.
    ``held_index``, ``held_offsets``: likewise the rows that each node keeps from training to evaluate on, or None.
    ``classes`` is the number of classes, or None for regression. ``test_x``, ``test_y``: rows of no node, or None.
    ``node_names`` has one name for each node, ``feature_names`` one for each column, where they are known.
    ``preparation`` tells how a table became numbers, if it did (``lines``, ``bytes``).
    ``root_index``: the rows that the coordinator holds itself (``ROOT``), at no node, or None.
    ``units`` (N,) and ``test_units`` int64: what was drawn as one, whichever rows are held out or tested on this time:
    the row's place in the whole data set, or its patient's; by default its position in ``x`` and ``test_x``.
    Errors: ``BadInput`` for an empty node, positions outside the rows, NaN in the data or labels outside the classes.
    """

    x: Tensor | Examples
    y: Tensor
    index: Tensor
    offsets: Tensor
    test_x: Tensor | Examples | None = None
    test_y: Tensor | None = None
    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    name: str = "arrays"
    partition: str = ""
    held_index: Tensor | None = None
    held_offsets: Tensor | None = None
    node_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    preparation: Any = field(default=None, repr=False)
    units: Tensor | None = None
    test_units: Tensor | None = None
    root_index: Tensor | None = None

    def __post_init__(self) -> None:
        self._find_bounds()
        check_rows(self.x, self.y, self.classes, "the data")
        if self.test_x is not None and self.test_y is not None:
            check_rows(self.test_x, self.test_y, self.classes, "the test set")
            if row_shape(self.test_x) != row_shape(self.x):
                raise BadInput(f"test rows have shape {row_shape(self.test_x)}, training rows {row_shape(self.x)}")
        for name, units, rows in (("units", self.units, self.y), ("test_units", self.test_units, self.test_y)):
            if units is not None and (rows is None or units.shape != (len(rows),)):
                raise BadInput(
                    f"{name} must be one whole number for each of the rows, it has shape {tuple(units.shape)}"
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
        for index in (self.index, self.held_index, self.root_index):
            if index is not None and len(index) and not (int(index.min()) >= 0 and int(index.max()) < len(self.x)):
                raise BadInput(f"the partition names rows outside 0..{len(self.x) - 1}")
        if (self.held_index is None) != (self.held_offsets is None):
            raise BadInput("rows that are held out need both held_index and held_offsets, or neither")
        if self.held_index is not None and self.held_offsets is not None:
            held = self.held_offsets.tolist()
            if len(held) != len(self.offsets) or held[0] != 0 or held[-1] != len(self.held_index):
                raise BadInput(
                    f"held_offsets must be {len(self.offsets)} numbers from 0 to {len(self.held_index)}, the length of "
                    f"held_index; it has {len(held)}, from {held[0] if held else None} to {held[-1] if held else None}"
                )
        if self.node_names is not None and len(self.node_names) != self.nodes:
            raise BadInput(f"{len(self.node_names)} node names for {self.nodes} nodes")
        # Names of files and folders may be no text, which reports, and the run's own files, are.
        self.name = readable(self.name)
        self.node_names = None if self.node_names is None else tuple(map(readable, self.node_names))
        self.class_names = None if self.class_names is None else tuple(map(readable, self.class_names))

    def _find_bounds(self) -> None:
        # NumPy hands out single numbers ten times faster than torch.
        self._bounds = self.offsets.numpy()
        self._held_bounds = None if self.held_offsets is None else self.held_offsets.numpy()

    def __repr__(self) -> str:
        kind = "regression" if self.classes is None else f"{self.classes} classes"
        return f"FederatedDataset({self.name!r}: {len(self.index):,} rows at {self.nodes:,} nodes, {kind})"

    def _repr_html_(self) -> str:
        names = self.node_names or tuple(map(str, range(self.nodes)))
        held = self.holdout_sizes
        heads = ["node", "rows", *(["held out"] if held else [])]
        rows = [[names[k], f"{n:,}", *([f"{held[k]:,}"] if held else [])] for k, n in enumerate(self.sizes)]
        told = [
            ("rows", f"{len(self.index):,} at {self.nodes:,} nodes, each of shape {row_shape(self.x)}"),
            *about_target(self.classes, self.class_names),
            ("divided by", self.partition),
            ("test rows", "none" if self.test_x is None else f"{len(self.test_x):,}, at no node"),
        ]
        return framed(paragraph(f"{self.name}, divided among nodes", bold=True), facts(told), grid(heads, ends(rows)))

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return len(self.offsets) - 1

    @property
    def sizes(self) -> list[int]:
        """Rows of every node."""
        return (self.offsets[1:] - self.offsets[:-1]).tolist()

    @property
    def holdout_sizes(self) -> list[int] | None:
        """Rows that every node holds out, or None where none does."""
        if self.held_offsets is None:
            return None
        return (self.held_offsets[1:] - self.held_offsets[:-1]).tolist()

    @cached_property
    def _owned(self) -> Tensor:
        """Positions of the rows that nodes train on, ascending, each once. Found once: sorting takes its time."""
        return self.index.unique()  # type: ignore[no-untyped-call, no-any-return]

    @property
    def rows_owned(self) -> int:
        """How many different rows nodes train on: a row that several nodes have counts once."""
        return len(self._owned)

    @cached_property
    def target_mean(self) -> tuple[float, ...] | None:
        """The mean of each target over the rows that nodes train on; None for classes."""
        if self.classes is not None:
            return None
        return tuple(self.y[self._owned.long()].reshape(self.rows_owned, -1).double().mean(0).tolist())

    @property
    def tested_on(self) -> str:
        """What ``TEST`` stands for: ``"test"``, ``"held out"`` (by all nodes together) or ``"train"``."""
        if self.test_x is not None:
            return "test"
        return "train" if self.held_index is None or not len(self.held_index) else "held out"

    @property
    def nodes_tested_on(self) -> str:
        """What a node evaluates on: ``"held out"`` where the data set has such rows, else ``"train"``."""
        return "train" if self.held_index is None else "held out"

    @property
    def test_rows(self) -> int:
        """Rows of ``TEST``."""
        return self.size(TEST)

    def size(self, node: int) -> int:
        """Rows of one node, of ``POOLED`` or of ``TEST``."""
        if node == POOLED:
            return len(self.index)
        if node == TEST:
            return len(self.rows(TEST))
        if node == HELD:
            return self.held_rows
        if node == ROOT:
            return 0 if self.root_index is None else len(self.root_index)
        return int(self._bounds[node + 1] - self._bounds[node])

    def rows(self, node: int) -> IndexedRows:
        """The rows of one node, of ``POOLED`` or of ``TEST``."""
        if node == POOLED:
            return IndexedRows(self.x, self.y, self.index)
        if node == TEST:
            if self.test_x is not None and self.test_y is not None:
                return IndexedRows(self.test_x, self.test_y, torch.arange(len(self.test_x)), self._test_cells)
            return self.rows(HELD) if self.tested_on == "held out" else IndexedRows(self.x, self.y, self._owned)
        if node == HELD:
            held = self.index[:0] if self.held_index is None else self.held_index
            return IndexedRows(self.x, self.y, held, self._held_cells)
        if node == ROOT:
            if self.root_index is None:
                raise BadInput(NO_ROOT)
            return IndexedRows(self.x, self.y, self.root_index)
        return IndexedRows(self.x, self.y, self.index[int(self._bounds[node]) : int(self._bounds[node + 1])])

    def held_out(self, node: int) -> IndexedRows | None:
        """The rows that a node keeps to evaluate on, perhaps none; None where the data set has no such rows."""
        if self.held_index is None or self._held_bounds is None or node < 0:
            return None
        own = slice(int(self._held_bounds[node]), int(self._held_bounds[node + 1]))
        return IndexedRows(
            self.x, self.y, self.held_index[own], None if self._held_cells is None else self._held_cells[own]
        )

    @property
    def held_rows(self) -> int:
        """Rows that all nodes hold out."""
        return 0 if self.held_index is None else len(self.held_index)

    @cached_property
    def _held_cells(self) -> Tensor | None:
        """Cells of all rows that nodes hold out, in the order of ``held_index``: found once for all nodes."""
        if self.held_index is None or self.held_offsets is None:
            return None
        index = self.held_index.long()
        node = torch.repeat_interleave(torch.arange(self.nodes), self.held_offsets[1:] - self.held_offsets[:-1])
        return cells_of(index if self.units is None else self.units[index], self.y[index], node)

    @cached_property
    def _test_cells(self) -> Tensor | None:
        if self.test_y is None:
            return None
        units = torch.arange(len(self.test_y)) if self.test_units is None else self.test_units
        return cells_of(units, self.test_y, torch.zeros_like(units))

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that depend on every number of the data and on whose it is; not on what ``units`` say.

        Of inputs that are read when asked for, which may be many, it depends on some evenly spaced ones.
        """
        seen = hashlib.blake2b(digest_size=8)
        told = {k: t for k, t in self.tensors().items() if not k.endswith("units")}
        digest(seen, {**told, **self._read_when_asked()})
        return seen.hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a resumed run to mean anything."""
        whose = (self.index, self.offsets)
        return {
            "nodes": self.nodes,
            "rows": len(self.x),
            "partition": hashlib.blake2b(b"".join(t.numpy().tobytes() for t in whose), digest_size=8).hexdigest(),
        }

    def example(self, rows: int = 1) -> tuple[Tensor, Tensor]:
        """The first ``(x, y)`` that nodes train on."""
        return self.rows(POOLED).batch(torch.arange(min(rows, len(self.index))))

    def label_counts(self) -> list[list[int]] | None:
        """Rows of each class at each node (n, C), or None for regression."""
        if self.classes is None:
            return None
        node = torch.repeat_interleave(torch.arange(self.nodes), self.offsets[1:] - self.offsets[:-1])
        flat = node * self.classes + self.y[self.index.long()].long()
        return torch.bincount(flat, minlength=self.nodes * self.classes).view(self.nodes, self.classes).tolist()

    # -- as what ``train`` is given (``NodeData``): everything is here, and nobody has to be asked ---------------------

    may_grow: ClassVar[bool] = False

    @property
    def roster(self) -> FederatedDataset:
        """Itself."""
        return self

    def meet(self, executor: Any) -> FederatedDataset:
        """Itself."""
        return self

    def at(self, commit: int) -> FederatedDataset:
        """Itself: nobody joins."""
        return self

    def site(self) -> FederatedDataset:
        """Itself."""
        return self

    def here(self) -> FederatedDataset:
        """Itself."""
        return self

    def shell(self) -> FederatedDataset:
        """Itself without its tensors, what was found out by looking at them, and how a table became numbers."""
        left_out = {*self.tensors(), "preparation", "fingerprint", "target_mean"}
        made = copy.copy(self)
        made.__dict__ = {k: v for k, v in vars(self).items() if k not in left_out and not k.startswith("_")}
        return made

    def use(self, tensors: Tensors) -> None:
        """Read the same values from other memory: a runtime has put them where its workers can read them."""
        for name, t in tensors.items():
            setattr(self, name, t)
        self._find_bounds()

    _TENSORS = (
        "x", "y", "index", "offsets", "test_x", "test_y", "held_index", "held_offsets", "units", "test_units",
        "root_index",
    )  # fmt: skip

    def tensors(self) -> Tensors:
        """All tensors by name: what a runtime puts where its workers can read it."""
        return {name: t for name in self._TENSORS if isinstance(t := getattr(self, name), Tensor)}

    def _read_when_asked(self) -> dict[str, Examples]:
        """Inputs that are no tensors, by name."""
        found = {"x": self.x, "test_x": self.test_x}
        return {k: v for k, v in found.items() if v is not None and not isinstance(v, Tensor)}


def cells_of(units_N: Tensor, y_N: Tensor, node_N: Tensor) -> Tensor:
    """Half and group of each row; halves have equally many units of each class at each node."""
    labels = y_N.long() if y_N.dim() == 1 and not y_N.is_floating_point() else torch.zeros_like(node_N)
    classes = int(labels.max()) + 1 if len(labels) else 1
    return torch.from_numpy(cells(units_N.numpy(), (node_N * classes + labels).numpy()))


def about_target(classes: int | None, names: tuple[str, ...] | None) -> list[tuple[str, str]]:
    """What a notebook shows of what is to be learned; of many classes the first few by name."""
    if classes is None:
        return [("target", "a number (regression)")]
    few = ", ".join((names or ())[:8]) + (", ..." if names and len(names) > 8 else "")
    return [("classes", f"{classes:,}" + (f": {few}" if few else ""))]


def digest(seen: Any, found: Mapping[str, Tensor | Examples]) -> None:
    """Have a hash see all numbers of tensors, and of inputs that are read when asked for some evenly spaced ones."""
    for name, x in found.items():
        if isinstance(x, Tensor):
            seen.update(f"{name} {x.dtype} {tuple(x.shape)}".encode())
            seen.update(x.contiguous().reshape(-1).view(torch.uint8).numpy().data if x.numel() else b"")
        else:
            seen.update(f"{name} {type(x).__qualname__} {len(x)}".encode())
            seen.update(glimpse(x, PROBES).contiguous().reshape(-1).view(torch.uint8).numpy().data)


def row_shape(x: Tensor | Examples) -> tuple[int, ...]:
    """Shape of one input."""
    return tuple(glimpse(x, 1).shape[1:])


def glimpse(x: Tensor | Examples, rows: int) -> Tensor:
    """At most so many inputs, evenly spaced, as they are under one fixed seed; torch's generator stays as it was."""
    n = min(rows, len(x))
    index = torch.arange(n) * len(x) // max(1, n)
    if isinstance(x, Tensor):
        return x[index]
    with seeded(0):
        return x.gather(index)


def check_rows(x: Tensor | Examples, y: Tensor, classes: int | None, what: str) -> None:
    """Errors: ``BadInput`` for lengths that differ, NaN or infinity with its place, labels outside ``classes``."""
    if len(x) != len(y):
        raise BadInput(f"{what}: {len(x)} rows of x but {len(y)} of y")
    if len(x) == 0:
        raise BadInput(f"{what}: there are no rows")
    for name, t in (("x", x), ("y", y)):
        if not isinstance(t, Tensor):
            t = glimpse(t, 1)  # the others are seen when they are asked for
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
