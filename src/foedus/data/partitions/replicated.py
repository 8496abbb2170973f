"""Every node has all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from foedus.core.types.keys import Key
from foedus.data.partitions.partition import check_nodes

if TYPE_CHECKING:
    from foedus.data.dataset import Dataset


@dataclass(frozen=True)
class Replicated:
    """Every node has all rows, in the same order: what is divided is the model.

    For programs such as ``FeatureParallel`` and ``TensorParallel``, whose nodes hold parts of one model. It is the one
    partition that gives a row more than once, so that ``index`` has rows times nodes places; the rows themselves stay
    in one place. Errors: ``BadInput`` where no number of nodes is given.

    >>> from foedus.data import arrays
    >>> arrays([[1.0], [2.0]], [0.5, 1.5]).split(Replicated(), nodes=3).sizes
    [2, 2, 2]
    """

    def assign(self, dataset: Dataset, nodes: int | None, key: Key) -> tuple[Tensor, Tensor]:
        """``(index, offsets)``; see ``Partition.assign``. Nothing is drawn."""
        rows = len(dataset)
        nodes = check_nodes(nodes, rows, self, each=0)
        return torch.arange(rows).repeat(nodes), torch.arange(nodes + 1) * rows
