"""Every node a few labels: the pathological split of the FedAvg paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from foedus.core.types.keys import Key
from foedus.data.partitions.partition import check_count, check_nodes, evenly, grouped, labels_of

if TYPE_CHECKING:
    from foedus.data.dataset import Dataset


@dataclass(frozen=True)
class Shards:
    """Rows are sorted by label and cut into ``nodes * per_node`` shards; each node is dealt ``per_node`` of them.

    It models clients that see a few classes only. With 60,000 images, 100 nodes and two shards each it is the
    "non-IID" of McMahan et al., 2017, arXiv:1602.05629, section 3: 200 shards of 300, most nodes with two digits.
    Where rows do not divide evenly, shards differ by one row and no row is lost.
    Errors: ``BadInput`` for a regression, and for more shards than rows.
    """

    per_node: int = 2

    def __post_init__(self) -> None:
        check_count(self, "per_node")

    def assign(self, dataset: Dataset, nodes: int | None, key: Key) -> tuple[Tensor, Tensor]:
        """``(index, offsets)``; see ``Partition.assign``."""
        labels = labels_of(dataset, self)
        nodes = check_nodes(nodes, len(labels), self, each=self.per_node)
        dealt = key.child("shards").numpy().permutation(np.repeat(np.arange(nodes, dtype=np.int64), self.per_node))
        node = np.empty(len(labels), dtype=np.int64)
        node[np.argsort(labels, kind="stable")] = dealt[evenly(len(labels), len(dealt))]
        return grouped(node, nodes)
