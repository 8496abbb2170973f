"""Every node the rows that are its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.data.partitions.partition import check_nodes, grouped

if TYPE_CHECKING:
    from foedus.data.dataset import Dataset


@dataclass(frozen=True)
class Natural:
    """Rows go to the node in their node column; nodes are numbered in the order of their ids.

    It models data whose owners are known: a hospital, a phone, a speaking role (LEAF, Caldas et al., 2018,
    arXiv:1812.01097). Nothing is drawn, so the seed changes nothing. Integers are ordered by value, strings as text.
    Errors: ``BadInput`` for data without a node column, or where ``nodes`` is given and is not their number.
    """

    def assign(self, dataset: Dataset, nodes: int | None, key: Key) -> tuple[Tensor, Tensor]:
        """``(index, offsets)``; see ``Partition.assign``."""
        if dataset.node is None:
            raise BadInput(
                f"Natural divides by the node column, and {dataset.name!r} has none: name it where rows are loaded, "
                "or divide by another partition, such as ",
                Option("split", "iid", call="IID()"),
            )
        ids, node = np.unique(dataset.node, return_inverse=True)
        if nodes is not None and check_nodes(nodes, len(dataset), self) != len(ids):
            raise BadInput(
                f"nodes is {nodes}, but the node column of {dataset.name!r} names {len(ids)}: leave nodes out"
            )
        return grouped(node.astype(np.int64, copy=False), len(ids))

    def node_names(self, dataset: Dataset) -> tuple[str, ...]:
        """The nodes' names, or their ids as text, in the order of their numbers."""
        if dataset.node is None:
            return ()
        ids, names = np.unique(dataset.node), getattr(dataset, "node_names", None)  # a Table has none
        return tuple(str(i) if names is None else names[i] for i in ids)
