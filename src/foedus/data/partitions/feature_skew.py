"""Every node another region of what the inputs can be.

Legend: N rows, F features, K nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.data import IndexedRows, glimpse
from foedus.core.types.keys import Key
from foedus.core.types.portion import portion
from foedus.core.types.torch_process import seeded
from foedus.data.partitions.partition import check_fraction, check_nodes, evenly, grouped

if TYPE_CHECKING:
    from foedus.data.dataset import Dataset

SAMPLE = 2000
"""Rows from which the direction is found; all are placed along it."""
BATCH = 1000
"""Rows that are placed at a time."""


@dataclass(frozen=True)
class FeatureSkew:
    """Rows are ordered along the direction in which the inputs vary most, and each node gets a band of that order.

    It models sites that differ in what they see: machines, regions, age groups ("covariate shift": Kairouz et al.,
    2021, arXiv:1912.04977, section 3.1). ``strength`` is the fraction of rows that go by it, the others are dealt at
    random: 0 is ``IID()``, 1 gives disjoint bands. Labels play no part, so it divides a regression too. Which node has
    which band is drawn.

    The direction is the first principal component of the standardised features of at most 2,000 evenly spaced rows.
    The feature skew of NIID-Bench (Li et al., 2021, arXiv:2102.02079) adds noise to rows, which a partition cannot:
    ``foedus.data.feature_noise`` does.
    Errors: ``BadInput`` for a strength outside 0..1, for tokens, or for more nodes than rows.
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        check_fraction(self, "strength")

    def assign(self, dataset: Dataset, nodes: int | None, key: Key) -> tuple[Tensor, Tensor]:
        """``(index, offsets)``; see ``Partition.assign``."""
        rows = len(dataset)
        nodes = check_nodes(nodes, rows, self)
        random = key.child("feature_skew").numpy()
        shuffled = random.permutation(rows)  # so that equal rows are in no order of their own
        order = shuffled[np.argsort(_places(dataset)[shuffled], kind="stable")]
        node = np.empty(rows, dtype=np.int64)
        node[order] = random.permutation(nodes)[evenly(rows, nodes)]
        strays = random.permutation(rows)[: rows - round(portion(self.strength, rows))]
        node[strays] = node[random.permutation(strays)]
        return grouped(node, nodes)


def _places(dataset: Dataset) -> NDArray[np.float64]:
    """The place of each row (N,) along the first principal component."""
    x_SF = _features(dataset, glimpse(dataset.x, SAMPLE))
    mean_F, deviation_F = x_SF.mean(0), x_SF.std(0)
    scale_F = np.where(deviation_F > 0, deviation_F, np.inf)  # a feature that never varies says nothing
    x_SF = (x_SF - mean_F) / scale_F
    # The eigenvector of the smaller of the two Gram matrices.
    if x_SF.shape[0] < x_SF.shape[1]:
        direction_F = x_SF.T @ np.linalg.eigh(x_SF @ x_SF.T)[1][:, -1]
    else:
        direction_F = np.linalg.eigh(x_SF.T @ x_SF)[1][:, -1]
    weight_F = direction_F / scale_F
    rows = IndexedRows(dataset.x, dataset.y, torch.arange(len(dataset)))
    with seeded(0):  # inputs that are augmented: under one fixed seed, and nobody else's
        batches = (rows.batch(at_B)[0] for at_B in torch.split(torch.arange(len(dataset)), BATCH))
        return np.concatenate([(_features(dataset, x_BF) - mean_F) @ weight_F for x_BF in batches])


def _features(dataset: Dataset, x: Tensor) -> NDArray[np.float64]:
    if x.dtype == torch.int64:
        raise BadInput(f"FeatureSkew orders rows by their numbers, and those of {dataset.name!r} are tokens: use IID()")
    x_BF: NDArray[np.float64] = x.flatten(1).double().numpy()
    return x_BF
