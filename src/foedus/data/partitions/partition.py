"""What a partition is, and what all of them share.

A partition decides the node of each row, and ``grouped`` turns that into positions and offsets. So a row is always
given once and to one node, by construction.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.core.types.keys import Key

if TYPE_CHECKING:
    from foedus.data.dataset import Dataset


@runtime_checkable
class Partition(Protocol):
    """Anything that can say which rows are whose."""

    def assign(self, dataset: Dataset, nodes: int | None, key: Key) -> tuple[Tensor, Tensor]:
        """``(index, offsets)``: node k's rows are ``index[offsets[k]:offsets[k+1]]``.

        ``index`` (N,) int64 has every row once. ``offsets`` (nodes+1,) int64, from 0 up to N. The same key
        gives the same answer. Errors: ``BadInput`` where not every node can get a row.
        """
        ...


def grouped(node_N: NDArray[np.int64], nodes: int) -> tuple[Tensor, Tensor]:
    """``(index, offsets)`` of the partition that gives row i to ``node_N[i]``; a node's rows stay in order."""
    offsets = np.zeros(nodes + 1, dtype=np.int64)
    np.cumsum(np.bincount(node_N, minlength=nodes), out=offsets[1:])
    index = np.argsort(node_N, kind="stable").astype(np.int64, copy=False)
    return torch.from_numpy(index), torch.from_numpy(offsets)


def evenly(rows: int, parts: int) -> NDArray[np.int64]:
    """The part of each of ``rows`` consecutive places, (rows,) ascending; sizes differ by at most one."""
    return np.arange(rows, dtype=np.int64) * parts // rows


def proportions(open_K: NDArray[np.bool_], alpha: float, random: np.random.Generator) -> NDArray[np.float64]:
    """A Dirichlet(alpha) draw over K nodes, those that are not open set to 0 and the rest made to sum to 1."""
    # Gamma(alpha) = Gamma(alpha+1) * U^(1/alpha), in logarithms: as plain numbers all of them can underflow to 0.
    a = max(alpha, 1e-300)
    log_K = np.log(random.standard_gamma(a + 1, len(open_K))) + np.log1p(-random.random(len(open_K))) / a
    log_K[~open_K] = -np.inf
    share_K: NDArray[np.float64] = np.exp(log_K - log_K.max())
    share_K /= share_K.sum()
    return share_K


def check_above_0(partition: Any, name: str) -> None:
    """Errors: ``BadInput`` unless this field of a partition is a finite number above 0."""
    value = getattr(partition, name)
    if not _is_number(value) or not 0 < value < math.inf:
        raise BadInput(f"{type(partition).__name__}: {name} must be a finite number above 0, got {value!r}")


def check_fraction(partition: Any, name: str) -> None:
    """Errors: ``BadInput`` unless this field of a partition is a number from 0 to 1."""
    value = getattr(partition, name)
    if not _is_number(value) or not 0 <= value <= 1:
        raise BadInput(f"{type(partition).__name__}: {name} must be a number from 0 to 1, got {value!r}")


def check_count(partition: Any, name: str) -> None:
    """Errors: ``BadInput`` unless this field of a partition is a positive integer."""
    value = getattr(partition, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(f"{type(partition).__name__}: {name} must be a positive integer, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_nodes(nodes: int | None, rows: int, partition: Any, each: int = 1) -> int:
    """The number of nodes, if every one of them can get ``each`` rows of so many; or ``BadInput``."""
    who = type(partition).__name__
    if nodes is None:
        raise BadInput(
            f"{who} needs to know among how many: ", Option("nodes", 20, call=f"split({partition!r}, nodes=20)")
        )
    if isinstance(nodes, bool) or not isinstance(nodes, int | np.integer) or nodes < 1:
        raise BadInput(f"nodes must be a positive integer, got {nodes!r}")
    if nodes * each > rows:
        raise BadInput(
            f"{who} cannot give {nodes} nodes at least {each} row{'s' if each > 1 else ''} each: "
            f"the data has {rows} rows, enough for {rows // each} nodes"
        )
    return int(nodes)


def labels_of(dataset: Dataset, partition: Any) -> NDArray[np.int64]:
    """The labels (N,), or ``BadInput`` for a regression, which has none to divide by."""
    if dataset.classes is None:
        raise BadInput(
            f"{type(partition).__name__} divides by label, and {dataset.name!r} has none (a regression): "
            "use IID(), or Natural() with a node column"
        )
    labels: NDArray[np.int64] = dataset.y.numpy()
    return labels
