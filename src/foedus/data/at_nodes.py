"""Rows that stay at their nodes: each node's are loaded where it lives, and the coordinator knows what it is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.coordination.executor import Executor
from foedus.core.coordination.runtime import Runtime
from foedus.core.coordination.site import Setup
from foedus.core.coordination.survey import Survey, idle_model
from foedus.core.errors import BadInput
from foedus.core.types.data import POOLED, ROOT, TEST, Examples, IndexedRows, digest
from foedus.core.types.job import NodeState, NodeView, Parts, Rows, Work
from foedus.core.types.keys import Key
from foedus.core.types.model import Model
from foedus.core.types.roster import RowStore
from foedus.core.types.update import Tensors, Update
from foedus.data.dataset import Dataset
from foedus.data.holdout import can_hold_out
from foedus.data.holdout import holdout as hold_out
from foedus.data.told import Told, ask_told


@dataclass(frozen=True)
class Own:
    """What one node holds: the rows it trains on, and those it keeps to evaluate on (None: it has no such rows)."""

    rows: Rows
    held_out: Rows | None = None


Load = Callable[[int], "Dataset | Own"]
"""The rows of a node by its id."""

Step = Callable[[int, Own], Own]
"""What a node makes of what it holds, by its id: a frozen dataclass."""


@runtime_checkable
class Agrees(Protocol):
    """A loader whose nodes have to agree on something before they have rows that a model takes: tables."""

    def __call__(self, node: int) -> Own: ...

    def agree(self, survey: Survey, data: AtNodes) -> Agreement:
        """Ask all nodes, and tell them what to make of their rows (``survey.prepare(Then(step))``)."""
        ...


@dataclass(frozen=True)
class Agreement:
    """What nodes have agreed on, as their roster tells it."""

    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    preparation: Any = None


@dataclass(frozen=True)
class AtNodes:
    """Data whose rows are only at their nodes: ``load(node)`` is called where the node lives, and nowhere else.

    In ``Processes`` that is each node's own process; in ``Simulation`` a worker, which loads those whose jobs it is
    given. The coordinator holds no row: it asks the nodes, by jobs, how many rows they have, of which shape and classes
    and with which digest, and a model is evaluated at the nodes. Programs that need all rows in one place are refused.

    ``load``     a function of a node's id that can be pickled: it answers with a ``Dataset``, whose test rows are what
                 the node holds out; or ``TableFile(...)``, for a table whose columns nodes prepare together.
    ``nodes``    how many nodes there are.
    ``holdout``  the fraction of its rows that every node keeps from training to evaluate on, drawn by ``seed`` as
                 ``Dataset.split`` draws it.
    ``tell_labels``  whether nodes tell how many rows of each class they have.

    >>> from foedus.data import arrays
    >>> import numpy as np
    >>> AtNodes(lambda node: arrays(np.eye(4) + node, np.arange(4) % 2), nodes=3).nodes
    3
    """

    load: Load
    nodes: int
    holdout: float | None = None
    seed: int = 0
    name: str = "rows at their nodes"
    node_names: tuple[str, ...] | None = None
    tell_labels: bool = True

    partition: ClassVar[str] = ""
    roster: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not callable(self.load):
            raise BadInput(f"AtNodes.load is {self.load!r}: it must be a function of a node's id that loads its rows")
        if isinstance(self.nodes, bool) or not isinstance(self.nodes, int) or self.nodes < 1:
            raise BadInput(f"AtNodes.nodes must be how many nodes there are, from 1 up; got {self.nodes!r}")
        if self.holdout is not None and not 0 < self.holdout < 1:
            raise BadInput(f"AtNodes.holdout is the fraction of its rows that a node keeps; got {self.holdout!r}")
        if self.node_names is not None and len(self.node_names) != self.nodes:
            raise BadInput(f"{len(self.node_names)} node names for {self.nodes} nodes")

    def own(self, node: int) -> Own:
        """Load what a node holds: for where it lives. Errors: ``BadInput`` for what is no data set."""
        found = self.load(node)
        if isinstance(found, Own):
            return found
        if not isinstance(found, Dataset):
            raise BadInput(
                f"AtNodes.load({node}) must answer with a Dataset, such as foedus.data.arrays(x, y), or be a "
                f"TableFile; it answered with a {type(found).__name__}"
            )
        if self.holdout is not None and found.test_x is not None:
            raise BadInput(f"AtNodes.load({node}) has test rows, and holdout={self.holdout} would keep others")
        if found.test_x is not None and found.test_y is not None:
            test = IndexedRows(found.test_x, found.test_y, torch.arange(len(found.test_y)))
            return Own(IndexedRows(found.x, found.y, torch.arange(len(found))), test)
        return divided(node, found.x, found.y, found.classes, self.holdout, self.seed)

    def ask(self, runtime: Runtime) -> TheirRoster:
        """What a run in this runtime would be told by the nodes: ``feature_names``, ``classes``, ``sizes`` ...

        It starts the runtime and ends it again: for those who need to know how wide a table is to make a model for it.
        """
        engine = runtime.start(Setup(idle_model(), self))
        try:
            return self.meet(engine.executor)
        finally:
            engine.executor.close()

    # -- as what ``train`` is given (``core.types.roster.NodeData``) ---------------------------------------------------

    def meet(self, executor: Executor) -> TheirRoster:
        """What the nodes tell of their rows, once they have agreed on how to make numbers of them."""
        survey = Survey(executor, self.nodes, self.node_names)
        agreed = self.load.agree(survey, self) if isinstance(self.load, Agrees) else Agreement()
        told = [About(**said) for said in ask_told(survey, TellOfRows())]
        _check_alike(told, self.node_names)
        if len({t.held is None for t in told}) > 1:  # then who holds out none evaluates on none
            survey.prepare(Then(NoneHeldOut()))
            told = [replace(t, held=t.held or 0) for t in told]
        classes = _classes(told, agreed)
        counts = None
        if classes is not None and self.tell_labels:
            counts = [u["count"].tolist() for u in survey.each(CountLabels(classes))]
        return TheirRoster(
            self.name, self.node_names, tuple(told), classes, agreed.class_names, agreed.feature_names,
            None if counts is None else tuple(map(tuple, counts)), agreed.preparation,
        )  # fmt: skip

    def site(self) -> Loaded:
        """Rows of the nodes that live here, loaded when they are first asked for."""
        return Loaded(self.own)

    def here(self) -> Loaded:
        """Nothing."""
        return Loaded(_nothing)

    def shell(self) -> AtNodes:
        """Itself."""
        return self

    def tensors(self) -> Tensors:
        """None."""
        return {}

    def use(self, tensors: Tensors) -> None:
        """Nothing to do."""


def divided(
    node: int,
    x: Tensor | Examples,
    y: Tensor,
    classes: int | None,
    holdout: float | None,
    seed: int,
    group: NDArray[Any] | None = None,
) -> Own:
    """A node's rows as it trains on them, and those that it holds out, in the draw that ``Dataset.split`` makes.

    ``group`` (N,): which rows stay together, if any do.
    """
    index = torch.arange(len(y))
    if holdout is None:
        return Own(IndexedRows(x, y, index))
    if not can_hold_out(y, group):
        return Own(IndexedRows(x, y, index), IndexedRows(x, y, index[:0]))
    train, test = hold_out(y, classes, holdout, Key(int(seed)).child("holdout").child(node), group)
    return Own(IndexedRows(x, y, index[train]), IndexedRows(x, y, index[test]))


class Loaded:
    """The row store of a site: of every node that it was asked for, what was loaded, and what steps made of it."""

    def __init__(self, load: Callable[[int], Own]) -> None:
        self._load = load
        self._steps: list[Step] = []
        self._held: dict[int, Own] = {}

    def size(self, node: int) -> int:
        """Rows of a node."""
        return len(self.rows(node))

    def rows(self, node: int) -> Rows:
        """The rows that a node trains on."""
        return self._own(node).rows

    def held_out(self, node: int) -> Rows | None:
        """The rows that a node keeps."""
        return self._own(node).held_out

    def then(self, step: Step) -> None:
        """Have every node make something else of what it holds, or will have loaded."""
        self._steps.append(step)
        self._held = {node: step(node, own) for node, own in self._held.items()}

    def _own(self, node: int) -> Own:
        if node < 0:
            raise elsewhere(node)
        if node not in self._held:
            own = self._load(node)
            for step in self._steps:
                own = step(node, own)
            self._held[node] = own
        return self._held[node]


@dataclass(frozen=True)
class Then:
    """``core.types.roster.Prepare``: sites of rows that were loaded take one more step."""

    step: Step

    def __call__(self, store: RowStore) -> RowStore:
        assert isinstance(store, Loaded)
        store.then(self.step)
        return store


def elsewhere(node: int) -> BadInput:
    """The error for rows that are in no one place."""
    places = {POOLED: "all rows in one place", TEST: "a test set of the coordinator's", ROOT: "a root data set"}
    what = places.get(node, f"rows of {node}")
    return BadInput(
        f"the program needs {what}, and the rows are only at their nodes: use a program that gives nodes jobs, such as "
        "FedAvg, or a data set that is in one place (Dataset.split)"
    )


def _nothing(node: int) -> Own:
    raise BadInput(f"the rows of node {node} are at the node, and were asked for elsewhere")


@dataclass(frozen=True)
class NoneHeldOut:
    """A node without rows that it holds out has none, where others have some."""

    def __call__(self, node: int, own: Own) -> Own:
        if own.held_out is not None or not isinstance(own.rows, IndexedRows):
            return own
        return Own(own.rows, replace(own.rows, index=own.rows.index[:0]))


# -- what nodes tell ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class About:
    """What a node tells of its rows: how many it trains on and holds out, shape and type of one, and a digest.

    ``labels`` is one more than its largest label, or None where it has targets.
    """

    rows: int
    held: int | None
    x: tuple[str, tuple[int, ...]]
    y: tuple[str, tuple[int, ...]]
    labels: int | None
    digest: str

    @property
    def kind(self) -> str:
        """What has to be the same at all nodes."""
        x, y = (f"{name} {tuple(shape)}" for name, shape in (self.x, self.y))
        return f"rows of x {x} and y {y}"


@dataclass(frozen=True)
class TellOfRows(Told):
    """Asks a node for what is in ``About``."""

    def tell(self, node: NodeView) -> dict[str, Any]:
        held = node.held_out
        x, y = node.rows.batch(torch.arange(min(1, len(node.rows))))
        seen = hashlib.blake2b(digest_size=8)
        labels: int | None = None
        for rows in (node.rows, held):
            if not isinstance(rows, IndexedRows):
                continue
            digest(seen, {"x": rows.x, "y": rows.y, "index": rows.index})
            if not rows.y.is_floating_point() and len(rows):
                labels = max(labels or 0, int(rows.y[rows.index.long()].max()) + 1)
        return {
            "rows": len(node.rows),
            "held": None if held is None else len(held),
            "x": (str(x.dtype).removeprefix("torch."), tuple(x.shape[1:])),
            "y": (str(y.dtype).removeprefix("torch."), tuple(y.shape[1:])),
            "labels": labels,
            "digest": seen.hexdigest(),
        }


@dataclass(frozen=True)
class CountLabels:
    """A node's training rows of each class: ``count`` (classes,) int64."""

    classes: int

    def work(self, rows: int) -> Work:
        return Work()

    def parts(self, model: Model) -> Parts:
        return {"count": ((self.classes,), torch.int64)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        rows = node.rows
        assert isinstance(rows, IndexedRows)
        count = torch.bincount(rows.y[rows.index.long()], minlength=self.classes)
        return Update({"count": count}, float(len(rows)), node=node.id), node.state


def _check_alike(told: list[About], names: tuple[str, ...] | None) -> None:
    for node, about in enumerate(told):
        who = node if names is None else names[node]
        if about.rows < 1:
            raise BadInput(f"node {who} has no rows to train on: every node needs at least one")
        if about.kind != told[0].kind:
            raise BadInput(
                f"the nodes' data differ: node {who} has {about.kind}, node {0 if names is None else names[0]} has "
                f"{told[0].kind}; they must be the same"
            )


def _classes(told: list[About], agreed: Agreement) -> int | None:
    if agreed.class_names is not None:
        return len(agreed.class_names)
    return None if told[0].labels is None else max(t.labels or 0 for t in told)


@dataclass(frozen=True)
class TheirRoster:
    """A roster of what nodes have told, and nothing else (``core.types.roster.Roster``)."""

    name: str
    node_names: tuple[str, ...] | None
    told: tuple[About, ...]
    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    counts: tuple[tuple[int, ...], ...] | None = None
    preparation: Any = None

    partition: ClassVar[str] = ""
    test_rows: ClassVar[int] = 0
    may_grow: ClassVar[bool] = False

    @property
    def nodes(self) -> int:
        """How many have told."""
        return len(self.told)

    @property
    def sizes(self) -> list[int]:
        """Rows of every node."""
        return [t.rows for t in self.told]

    @property
    def rows_owned(self) -> int:
        """Rows that nodes train on; whether two have the same one, nobody knows."""
        return sum(t.rows for t in self.told)

    @property
    def tested_on(self) -> str:
        """What nodes evaluate on, for nobody else does."""
        return self.nodes_tested_on

    @property
    def nodes_tested_on(self) -> str:
        """``"held out"`` where nodes hold out rows, else ``"train"``."""
        return "train" if all(t.held is None for t in self.told) else "held out"

    @property
    def target_mean(self) -> tuple[float, ...] | None:
        """0 of targets that the nodes have agreed to scale; of others nobody has told."""
        unit = getattr(self.preparation, "unit", None)
        return None if unit is None else (0.0,) * len(unit)

    @property
    def held_rows(self) -> int:
        """None in one place."""
        return 0

    @cached_property
    def fingerprint(self) -> str:
        """Of the nodes' digests."""
        return hashlib.blake2b("".join(t.digest for t in self.told).encode(), digest_size=8).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        """Nodes, rows, and how these are divided."""
        sizes = json.dumps([self.sizes, [t.held for t in self.told]]).encode()
        return {
            "nodes": self.nodes,
            "rows": sum(t.rows + (t.held or 0) for t in self.told),
            "partition": hashlib.blake2b(sizes, digest_size=8).hexdigest(),
        }

    def size(self, node: int) -> int:
        """Rows of a node. Errors: ``BadInput`` for ``POOLED`` and ``TEST``."""
        if node < 0:
            raise elsewhere(node)
        return self.told[node].rows

    def label_counts(self) -> list[list[int]] | None:
        """Rows of each class at each node, if nodes told."""
        return None if self.counts is None else [list(c) for c in self.counts]

    def example(self, rows: int = 1) -> tuple[Tensor, Tensor]:
        """Zeros of the shape and the type of a row: no node's."""
        (x_type, x_shape), (y_type, y_shape) = self.told[0].x, self.told[0].y
        return (
            torch.zeros(rows, *x_shape, dtype=getattr(torch, x_type)),
            torch.zeros(rows, *y_shape, dtype=getattr(torch, y_type)),
        )

    def at(self, commit: int) -> TheirRoster:
        """Itself: nobody joins."""
        return self
