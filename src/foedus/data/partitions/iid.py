"""Every node a random sample of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from foedus.core.types.keys import Key
from foedus.data.partitions.partition import check_nodes, evenly, grouped

if TYPE_CHECKING:
    from foedus.data.dataset import Dataset


@dataclass(frozen=True)
class IID:
    """Rows are shuffled and dealt out; sizes differ by at most one.

    It models workers in one room that share a data set, and is the "IID" of McMahan et al., 2017,
    arXiv:1602.05629, section 3. Errors: ``BadInput`` for more nodes than rows.
    """

    def assign(self, dataset: Dataset, nodes: int | None, key: Key) -> tuple[Tensor, Tensor]:
        """``(index, offsets)``; see ``Partition.assign``."""
        rows = len(dataset)
        nodes = check_nodes(nodes, rows, self)
        node = np.empty(rows, dtype=np.int64)
        node[key.child("iid").numpy().permutation(rows)] = evenly(rows, nodes)
        return grouped(node, nodes)
