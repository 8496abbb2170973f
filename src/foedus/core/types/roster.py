"""Roster and RowStore: what a coordinator may know of the nodes, and who holds their rows.

A data set in one place (``FederatedDataset``) is both. Where rows stay at their nodes, a site there has
the row store, and the coordinator's roster is what the nodes have told of themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from foedus.core.types.job import Rows
from foedus.core.types.update import Tensors


class Roster(Protocol):
    """All that a coordinator may know of the nodes; no row is among it, but for a test set of its own.

    ``label_counts`` and names are None where nobody has told them. ``preparation`` tells how a table became numbers;
    its ``unit``, if it has one, what 1 in each scaled target is in the target's own unit.
    """

    @property
    def name(self) -> str: ...
    @property
    def partition(self) -> str: ...
    @property
    def classes(self) -> int | None: ...
    @property
    def class_names(self) -> tuple[str, ...] | None: ...
    @property
    def node_names(self) -> tuple[str, ...] | None: ...
    @property
    def feature_names(self) -> tuple[str, ...] | None: ...
    @property
    def preparation(self) -> Any: ...

    @property
    def nodes(self) -> int:
        """How many nodes there are: their ids are 0 .. nodes-1. It may grow with a commit, see ``at``."""
        ...

    @property
    def sizes(self) -> list[int]:
        """Rows of every node that it trains on."""
        ...

    @property
    def rows_owned(self) -> int:
        """How many different rows the nodes train on together, as far as that is known."""
        ...

    @property
    def test_rows(self) -> int:
        """Rows of the test set that the coordinator has; 0 where it has none, and nodes evaluate on their own."""
        ...

    @property
    def tested_on(self) -> str:
        """What a model is tested on: ``"test"``, ``"held out"`` (by all nodes together) or ``"train"``."""
        ...

    @property
    def nodes_tested_on(self) -> str:
        """What a node evaluates on: ``"held out"`` or ``"train"``."""
        ...

    @property
    def target_mean(self) -> tuple[float, ...] | None:
        """The mean of each target over the rows that nodes train on; None for classes, and where nobody knows."""
        ...

    @property
    def held_rows(self) -> int:
        """Rows that nodes hold out and that are all in one place, beside the coordinator's test set; 0 where not."""
        ...

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that depend on the data."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a resumed run to mean anything. It does not change when nodes join."""
        ...

    @property
    def may_grow(self) -> bool:
        """Whether nodes may join while the run goes on."""
        ...

    def size(self, node: int) -> int:
        """Rows of one node; of ``POOLED``, ``TEST`` and ``HELD`` where there is such a place. Errors: ``BadInput``."""
        ...

    def label_counts(self) -> list[list[int]] | None:
        """Rows of each class at each node (n, C); None for regression, and where nobody told."""
        ...

    def example(self, rows: int = 1) -> tuple[Tensor, Tensor]:
        """So many ``(x, y)`` of the shape and the type of the nodes' rows: to count operations, to check a model."""
        ...

    def at(self, commit: int) -> Roster:
        """Who is known once so many commits have been made. Ids only grow: who was known stays who it was.

        Asked between commits only, so that a round has one roster; and again by a run that goes on from a checkpoint,
        which has to be told the same.
        """
        ...


def unit_of(roster: Roster) -> tuple[float, ...] | None:
    """What 1 in each scaled target is in the target's own unit; None where targets are not scaled."""
    unit: tuple[float, ...] | None = getattr(roster.preparation, "unit", None)
    return unit


class RowStore(Protocol):
    """Who holds rows: what a site (a worker, a node's process) asks for those of the node whose job it runs."""

    def size(self, node: int) -> int:
        """Rows of a node."""
        ...

    def rows(self, node: int) -> Rows:
        """The rows that a node trains on. Errors: ``BadInput`` if they are elsewhere."""
        ...

    def held_out(self, node: int) -> Rows | None:
        """The rows that a node keeps to evaluate on, perhaps none; None where the data set has no such rows."""
        ...


Prepare = Callable[[RowStore], RowStore]
"""What a site is to hold from now on, made of what it holds: a value that can be pickled, as a frozen dataclass can."""


class NodeData(Protocol):
    """What ``train`` is given: data divided among nodes, wherever the rows are.

    ``tensors`` and ``shell`` are how it travels to a site, which calls ``use`` and then ``site``.
    """

    @property
    def name(self) -> str: ...
    @property
    def partition(self) -> str: ...
    @property
    def nodes(self) -> int: ...

    @property
    def roster(self) -> Roster | None:
        """What is known of the nodes before a run begins; None if they have to be asked."""
        ...

    def meet(self, executor: Any) -> Roster:
        """Ask the nodes, by jobs of an ``Executor``, for what the coordinator has to know. Errors: ``BadInput``."""
        ...

    def site(self) -> RowStore:
        """What a site of this process holds."""
        ...

    def here(self) -> RowStore:
        """What a coordinator holds whose nodes are processes of their own."""
        ...

    def shell(self) -> Any:
        """Itself without its tensors, to be pickled."""
        ...

    def tensors(self) -> Tensors:
        """All tensors by name: what a runtime puts where its workers can read it."""
        ...

    def use(self, tensors: Tensors) -> None:
        """Read the same values from other memory: a runtime has put them where its workers can read them."""
        ...
