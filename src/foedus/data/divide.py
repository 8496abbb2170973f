"""Dividing a data set's rows among nodes, and what each of them holds out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.data.groups import Grouped
from foedus.data.holdout import can_hold_out
from foedus.data.holdout import holdout as hold_out
from foedus.data.partitions.partition import Partition


@dataclass(frozen=True)
class Division:
    """Node k trains on rows ``index[offsets[k]:offsets[k+1]]``; what it holds out is named likewise (None: nothing)."""

    index: Tensor
    offsets: Tensor
    held_index: Tensor | None
    held_offsets: Tensor | None
    node_names: tuple[str, ...] | None


def divide(dataset: Any, partition: Any, nodes: int | None, seed: int, holdout: float | None) -> Division:
    """The rows of a ``Dataset`` (or whatever a partition can read) among nodes; see ``Dataset.split``.

    Errors: ``BadInput`` for what is no partition, no seed or no fraction, and whatever the partition says.
    """
    if isinstance(partition, type):
        raise BadInput(f"split needs a partition, not a class: write {partition.__name__}(...) with parentheses")
    if not isinstance(partition, Partition):
        raise BadInput(
            f"split needs a partition such as IID() or Dirichlet(alpha=0.3), got a {type(partition).__name__}"
        )
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise BadInput(f"the seed must be an integer, got {seed!r}")
    if holdout is not None and (isinstance(holdout, bool) or not 0 < holdout < 1):
        raise BadInput(
            "holdout is the fraction of its rows that every node keeps to evaluate on, between 0 and 1; "
            f"got {holdout!r}"
        )
    key = Key(int(seed)).child("partition")
    if dataset.group is None:
        index, offsets = partition.assign(dataset, nodes, key)
    else:
        index, offsets = Grouped(dataset).assign(partition, nodes, key)
    name = getattr(partition, "node_names", None)
    names = None if name is None else name(dataset)
    if holdout is None:
        return Division(index, offsets, None, None, names)
    return Division(*_held(dataset, index, offsets, holdout, Key(int(seed)).child("holdout")), names)


def _held(
    dataset: Any, index: Tensor, offsets: Tensor, fraction: float, key: Key
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    kept, held = [], []
    ends = offsets.tolist()
    for node, (start, stop) in enumerate(pairwise(ends)):
        rows = index[start:stop]
        group = None if dataset.group is None else dataset.group[rows.numpy()]
        if not can_hold_out(rows, group):
            kept.append(rows)
            held.append(rows[:0])
            continue
        train, test = hold_out(dataset.y[rows.long()], dataset.classes, fraction, key.child(node), group)
        kept.append(rows[train])
        held.append(rows[test])
    return (*_joined(kept), *_joined(held))


def _joined(parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    sizes = torch.tensor([0, *map(len, parts)])
    return torch.cat(parts), sizes.cumsum(0)
