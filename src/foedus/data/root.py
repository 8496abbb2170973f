"""The root data set: a few rows that the coordinator holds itself, to measure nodes by."""

from __future__ import annotations

from dataclasses import replace

import torch

from foedus.core.errors import BadInput
from foedus.core.types.data import FederatedDataset
from foedus.core.types.keys import Key


def with_root(data: FederatedDataset, rows: int, seed: int = 0) -> FederatedDataset:
    """The same data, of which the coordinator holds at least so many of the rows that nodes trained on.

    They are drawn at random, a unit (a patient, where rows belong together) at a time, and are then at no node; a node
    keeps one unit at least. Errors: ``BadInput`` where there are not so many to take.
    """
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        raise BadInput(f"root is a number of rows that the coordinator holds, from 1 up; got {rows!r}")
    index = data.index.long()
    node = torch.repeat_interleave(torch.arange(data.nodes), data.offsets[1:] - data.offsets[:-1])
    unit = index if data.units is None else data.units[index]
    _, unit = unit.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    homes: list[set[int]] = [set() for _ in range(int(unit.max()) + 1)]
    size = torch.bincount(unit).tolist()
    for u, n in zip(unit.tolist(), node.tolist(), strict=True):
        homes[u].add(n)
    left = [0] * data.nodes
    for where in homes:
        for n in where:
            left[n] += 1
    taken, count = torch.zeros(len(homes), dtype=torch.bool), 0
    for u in Key(seed).child("root").permutation(len(homes)).tolist():
        if count >= rows:
            break
        if all(left[n] > 1 for n in homes[u]):
            taken[u], count = True, count + size[u]
            for n in homes[u]:
                left[n] -= 1
    if count < rows:
        raise BadInput(
            f"a root data set of {rows:,} rows cannot be taken from {data.nodes:,} nodes with {len(index):,} rows in "
            f"all, of which each keeps at least one: at most {count:,} can"
        )
    mine = taken[unit]
    sizes = torch.bincount(node[~mine], minlength=data.nodes)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    # A row that several nodes had is held once.
    return replace(data, index=data.index[~mine], offsets=offsets, root_index=data.index[mine].unique())  # type: ignore[no-untyped-call]
