"""Every node its own mixture of labels, from nearly all alike to nearly one label each.

Legend: N rows, K nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.types.keys import Key
from foedus.data.partitions.partition import (
    check_above_0,
    check_count,
    check_nodes,
    grouped,
    labels_of,
    proportions,
)

if TYPE_CHECKING:
    from foedus.data.dataset import Dataset

DRAWS = 5
"""How often a division is drawn in the hope that every node gets enough; after that rows are moved."""


@dataclass(frozen=True)
class Dirichlet:
    """The rows of each class are divided among the nodes in proportions drawn from a Dirichlet(alpha) distribution.

    It models owners with different mixtures and amounts of data. ``alpha`` (> 0) is how alike they are: at 100 every
    node is close to the whole, at 0.1 most nodes are dominated by one or two labels. Yurochkin et al., 2019,
    arXiv:1905.12022, section 4; Hsu et al., 2019, arXiv:1909.06335, draw the mixture per node instead.

    *Balance.* As in Yurochkin's code, a node that has N/K rows gets nothing of the classes still to come, so one
    node cannot have nearly all. Sizes still differ: a node may pass N/K with its last class. Classes come in random
    order. *Rounding.* A node's rows of a class are within one of its proportion, and what it lost to
    rounding in one class it is the first to get in the next; so as alpha grows, every node gets 1/K of every class.
    *Small nodes.* If a node has fewer than ``min_rows``, all is drawn again, at most five times. Then the last draw is
    mended: one row after the other goes from whichever node is largest to those that have too few.

    Errors: ``BadInput`` for alpha or min_rows out of range, for a regression, or for too few rows.
    """

    alpha: float
    min_rows: int = 1

    def __post_init__(self) -> None:
        check_above_0(self, "alpha")
        check_count(self, "min_rows")

    def assign(self, dataset: Dataset, nodes: int | None, key: Key) -> tuple[Tensor, Tensor]:
        """``(index, offsets)``; see ``Partition.assign``."""
        labels = labels_of(dataset, self)
        nodes = check_nodes(nodes, len(labels), self, each=self.min_rows)
        key = key.child("dirichlet")
        for n in range(DRAWS):
            node = _drawn(labels, nodes, self.alpha, key.child("draw", n).numpy())
            if int(np.bincount(node, minlength=nodes).min()) >= self.min_rows:
                break
        else:
            node = _mended(node, nodes, self.min_rows, key.child("mend").numpy())
        return grouped(node, nodes)


def _drawn(labels: NDArray[np.int64], nodes: int, alpha: float, random: np.random.Generator) -> NDArray[np.int64]:
    """One draw: the node of each row (N,)."""
    rows = len(labels)
    shuffled = random.permutation(rows)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    ends = np.cumsum(np.bincount(labels))
    node = np.empty(rows, dtype=np.int64)
    size_K = np.zeros(nodes, dtype=np.int64)
    owed_K = np.zeros(nodes)  # what rounding has kept from each node so far
    for c in random.permutation(len(ends)):
        members = by_class[ends[c - 1] if c else 0 : ends[c]]
        if len(members) == 0:
            continue
        open_K = size_K * nodes < rows  # some node is open as long as a row is left
        share_K = proportions(open_K, alpha, random) * len(members)
        # A hair less, so that float error cannot make the floors add up to more than there is.
        count_K = np.floor(share_K * (1 - 1e-12)).astype(np.int64)
        owed_K += share_K - count_K
        first_K = np.argsort(-np.where(open_K, owed_K, -np.inf), kind="stable")  # stable: the same on every CPU
        extra_K = first_K[: len(members) - int(count_K.sum())]
        count_K[extra_K] += 1
        owed_K[extra_K] -= 1
        node[members] = np.repeat(np.arange(nodes), count_K)
        size_K += count_K
    return node


def _mended(node: NDArray[np.int64], nodes: int, min_rows: int, random: np.random.Generator) -> NDArray[np.int64]:
    """The same division, with rows moved from the largest nodes until every node has ``min_rows``."""
    size_K = np.bincount(node, minlength=nodes)
    lack_K = np.maximum(min_rows - size_K, 0)
    needed = int(lack_K.sum())
    # Taking one row after the other from whichever node is largest ends with all givers at one level, give or take one
    # row. The highest level that frees enough, by bisection; at min_rows there is always enough.
    low, high = min_rows, int(size_K.max())
    while low < high:
        level = (low + high + 1) // 2
        low, high = (level, high) if np.maximum(size_K - level, 0).sum() >= needed else (low, level - 1)
    give_K = np.maximum(size_K - low, 0)
    give_K[np.flatnonzero(give_K)[: int(give_K.sum()) - needed]] -= 1
    # A giver's rows are in random order here, so that it does not give away one class after the other.
    shuffled = random.permutation(len(node))
    order = shuffled[np.argsort(node[shuffled], kind="stable")]
    place = np.arange(len(node)) - np.repeat(np.cumsum(size_K) - size_K, size_K)
    moved = order[place < give_K[node[order]]]
    node = node.copy()
    node[moved] = random.permutation(np.repeat(np.arange(nodes), lack_K))
    return node
