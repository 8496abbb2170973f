"""Nodes that join while a run goes on, simulated: who they are and what they hold is there, but not known yet."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, ClassVar

from torch import Tensor

from foedus.core.coordination.executor import Executor
from foedus.core.errors import BadInput
from foedus.core.types.data import TEST
from foedus.core.types.roster import NodeData, Roster, RowStore
from foedus.core.types.update import Tensors
from foedus.data.at_nodes import elsewhere


@dataclass(frozen=True, eq=False)
class Joining:
    """Data of which the last nodes join during the run: ``joins[t]`` of them are known once t commits were made.

    Ids only grow: those that join get the next ones. Cohorts draw from those that are known, streams give them work,
    and without a test set of nobody's a model is evaluated at those that are known. It is how a run looks at a server
    to which nodes connect when they do, with the commits written down, so that the same run can be made again.
    Decentralised programs, whose graph is of all nodes from the beginning, are refused.

    >>> from foedus.data import IID, load
    >>> data = Joining(load("iris").split(IID(), nodes=10), {2: 3, 5: 1})
    >>> [data.roster.at(t).nodes for t in range(7)]
    [6, 6, 9, 9, 9, 10, 10]
    """

    data: NodeData
    joins: Mapping[int, int]

    def __post_init__(self) -> None:
        for commit, nodes in self.joins.items():
            if commit < 1 or nodes < 1:
                raise BadInput(
                    f"Joining.joins has {commit}: {nodes}, expected commits and how many nodes join, both from 1 up"
                )
        if sum(self.joins.values()) >= self.data.nodes:
            raise BadInput(
                f"{sum(self.joins.values())} nodes join and there are {self.data.nodes} in all: at least one has to be "
                "there when the run begins"
            )

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def partition(self) -> str:
        return self.data.partition

    @property
    def nodes(self) -> int:
        """How many there are in the end."""
        return self.data.nodes

    @property
    def roster(self) -> Roster | None:
        """Those that are known when the run begins."""
        return None if self.data.roster is None else self._known(self.data.roster)

    def meet(self, executor: Executor) -> Roster:
        """Ask all, of whom the roster knows those that have joined."""
        return self._known(self.data.meet(executor))

    def _known(self, everybody: Roster) -> Roster:
        commits = sorted(self.joins)
        first = everybody.nodes - sum(self.joins.values())
        counts = tuple(accumulate((self.joins[t] for t in commits), initial=first))
        return Known(everybody, (0, *commits), counts, first)

    def site(self) -> RowStore:
        return self.data.site()

    def here(self) -> RowStore:
        return self.data.here()

    def shell(self) -> Joining:
        made = copy.copy(self)  # a shell has no nodes to look at
        object.__setattr__(made, "data", self.data.shell())
        return made

    def tensors(self) -> Tensors:
        return self.data.tensors()

    def use(self, tensors: Tensors) -> None:
        self.data.use(tensors)


@dataclass(frozen=True, eq=False)
class Known:
    """The roster of the first ``nodes`` of a roster's: from commit ``since[i]`` on, there are ``counts[i]``."""

    everybody: Roster
    since: tuple[int, ...]
    counts: tuple[int, ...]
    nodes: int

    may_grow: ClassVar[bool] = True

    def at(self, commit: int) -> Known:
        """Those that are known after so many commits."""
        return replace(self, nodes=self.counts[bisect_right(self.since, commit) - 1])

    @property
    def name(self) -> str:
        return self.everybody.name

    @property
    def partition(self) -> str:
        return self.everybody.partition

    @property
    def classes(self) -> int | None:
        return self.everybody.classes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self.everybody.class_names

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        return self.everybody.feature_names

    @property
    def node_names(self) -> tuple[str, ...] | None:
        names = self.everybody.node_names
        return None if names is None else names[: self.nodes]

    @property
    def preparation(self) -> Any:
        return self.everybody.preparation

    @property
    def sizes(self) -> list[int]:
        return self.everybody.sizes[: self.nodes]

    @property
    def rows_owned(self) -> int:
        return min(sum(self.sizes), self.everybody.rows_owned)

    @property
    def test_rows(self) -> int:
        """Of rows of no node: those that nodes hold out, or train on, are theirs, and not all are known."""
        return self.everybody.test_rows if self.everybody.tested_on == "test" else 0

    @property
    def held_rows(self) -> int:
        """None in one place: those of whoever joins later are not known yet."""
        return 0

    @property
    def tested_on(self) -> str:
        return self.everybody.tested_on

    @property
    def nodes_tested_on(self) -> str:
        return self.everybody.nodes_tested_on

    @property
    def target_mean(self) -> None:
        """That of all, of whom some have not joined, is nobody's."""

    @property
    def fingerprint(self) -> str:
        return self.everybody.fingerprint

    @property
    def identity(self) -> dict[str, Any]:
        """That of all, and who joins when."""
        return {**self.everybody.identity, "joins": [list(self.since), list(self.counts)]}

    def size(self, node: int) -> int:
        if node < 0 and not (node == TEST and self.test_rows):
            raise elsewhere(node)
        return self.everybody.size(node)

    def label_counts(self) -> list[list[int]] | None:
        counts = self.everybody.label_counts()
        return None if counts is None else counts[: self.nodes]

    def example(self, rows: int = 1) -> tuple[Tensor, Tensor]:
        return self.everybody.example(rows)
