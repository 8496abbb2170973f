"""Every node exactly so many labels.

Legend: C labels, K nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.data.partitions.partition import check_count, check_nodes, evenly, grouped, labels_of

if TYPE_CHECKING:
    from foedus.data.dataset import Dataset


@dataclass(frozen=True)
class LabelSkew:
    """Every node has exactly ``labels_per_node`` labels; who has a label has an even part of its rows.

    It models owners that see a few classes only. Li et al., 2021, arXiv:2102.02079 (NIID-Bench, "#C = k").

    Labels that occur in the data count; each goes to at least one node, and to as nearly equally many as there are rows
    for (in the paper's code to a number that is drawn, so that sizes differ more). Which nodes have it is drawn.
    ``Shards`` is similar, but cuts across labels and bounds their number only.
    Errors: ``BadInput`` for a regression, for more labels a node than there are, for so few nodes that some label would
    be nobody's, and for too few rows.
    """

    labels_per_node: int = 2

    def __post_init__(self) -> None:
        check_count(self, "labels_per_node")

    def assign(self, dataset: Dataset, nodes: int | None, key: Key) -> tuple[Tensor, Tensor]:
        """``(index, offsets)``; see ``Partition.assign``."""
        _, label_N, size_C = np.unique(labels_of(dataset, self), return_inverse=True, return_counts=True)
        nodes = check_nodes(nodes, len(label_N), self, each=self.labels_per_node)
        labels, wanted = len(size_C), nodes * self.labels_per_node
        if self.labels_per_node > labels:
            raise BadInput(
                f"LabelSkew cannot give a node {self.labels_per_node} labels: {dataset.name!r} has {labels} of them"
            )
        if wanted < labels:
            raise BadInput(
                f"LabelSkew: {nodes} nodes with {self.labels_per_node} of the {labels} labels each leave some to "
                f"nobody: take at least {-(-labels // self.labels_per_node)} nodes, or more labels a node"
            )
        random = key.child("label_skew").numpy()
        most_C = np.minimum(size_C, nodes)  # each of its nodes gets a row
        if int(most_C.sum()) < wanted:
            raise BadInput(
                f"LabelSkew cannot give {nodes} nodes {self.labels_per_node} labels each: the rows of "
                f"{dataset.name!r} allow it {int(most_C.sum())} times, {wanted} are needed; take fewer nodes"
            )
        node_N = np.empty(len(label_N), dtype=np.int64)
        need_K = np.full(nodes, self.labels_per_node)
        count_C = _counts(most_C, wanted, random)
        for c in random.permutation(labels):
            # Whoever still needs most, at random among equals. Needs stay within one of each other, so in the end all
            # are met, and no node is given a label twice.
            first_K = random.permutation(nodes)
            holders = first_K[np.argsort(-need_K[first_K], kind="stable")[: count_C[c]]]
            need_K[holders] -= 1
            members = random.permutation(np.flatnonzero(label_N == c))
            node_N[members] = random.permutation(holders)[evenly(len(members), len(holders))]
        return grouped(node_N, nodes)


def _counts(most_C: NDArray[np.int64], wanted: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Nodes of each label: as equal as ``most_C`` allows, ``wanted`` in all; who has one more is drawn."""
    low, high = 0, int(most_C.max())
    while low < high:  # the highest level to which all can be filled
        level = (low + high + 1) // 2
        low, high = (level, high) if int(np.minimum(most_C, level).sum()) <= wanted else (low, level - 1)
    count_C: NDArray[np.int64] = np.minimum(most_C, low)
    more = random.permutation(np.flatnonzero(most_C > low))
    count_C[more[: wanted - int(count_C.sum())]] += 1
    return count_C
