"""Every node its own amount of data, and all alike in what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from foedus.core.types.keys import Key
from foedus.data.partitions.partition import check_above_0, check_count, check_nodes, grouped, proportions

if TYPE_CHECKING:
    from foedus.data.dataset import Dataset


@dataclass(frozen=True)
class QuantitySkew:
    """Sizes are drawn from a Dirichlet(alpha) distribution; which rows a node gets is drawn at random.

    It models owners with much and with little of the same kind of data. ``alpha`` (> 0) is how alike the sizes are: at
    100 nearly equal, at 0.1 a few nodes have nearly all. Li et al., 2021, arXiv:2102.02079 (NIID-Bench).

    Every node first gets ``min_rows``; the proportions are those of the rows that are left. (The paper's code draws
    again until every node has ten, which with a small alpha takes for ever.) What rounding leaves over goes to the
    largest remainders. Errors: ``BadInput`` for alpha or min_rows out of range, or for too few rows.
    """

    alpha: float
    min_rows: int = 1

    def __post_init__(self) -> None:
        check_above_0(self, "alpha")
        check_count(self, "min_rows")

    def assign(self, dataset: Dataset, nodes: int | None, key: Key) -> tuple[Tensor, Tensor]:
        """``(index, offsets)``; see ``Partition.assign``."""
        rows = len(dataset)
        nodes = check_nodes(nodes, rows, self, each=self.min_rows)
        random = key.child("quantity_skew").numpy()
        left = rows - nodes * self.min_rows
        share_K = proportions(np.ones(nodes, dtype=bool), self.alpha, random) * left
        # A hair less, so that float error cannot make the floors add up to more than there is.
        size_K = np.floor(share_K * (1 - 1e-12)).astype(np.int64)
        size_K[np.argsort(size_K - share_K, kind="stable")[: left - int(size_K.sum())]] += 1
        node = np.repeat(np.arange(nodes, dtype=np.int64), size_K + self.min_rows)
        return grouped(random.permutation(node), nodes)
