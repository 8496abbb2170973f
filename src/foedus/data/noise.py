"""Every node its own amount of noise: feature skew that changes rows, which a partition does not."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.data.dataset import Dataset
from foedus.data.partitions import IID


def feature_noise(data: Dataset, level: float, nodes: int, seed: int = 0) -> Dataset:
    """A new data set: rows are dealt out evenly, and node k of K adds Gaussian noise of variance ``level * (k+1) / K``.

    It models cameras or sensors of different quality. Divide it by ``Natural()``. Test rows stay clean.
    Li et al., 2021, arXiv:2102.02079 (NIID-Bench, "noise-based feature imbalance").
    Errors: ``BadInput`` for a level that is no number from 0 up, for x that is not float32 in memory, for more nodes
    than rows.

    >>> from foedus.data import Natural, load
    >>> noisy = feature_noise(load("digits"), level=0.1, nodes=10)
    >>> noisy.split(Natural()).nodes
    10
    """
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 <= level < math.inf:
        raise BadInput(f"feature_noise: level must be a variance, a number from 0 up; got {level!r}")
    if not isinstance(data.x, Tensor) or data.x.dtype != torch.float32:
        kind = data.x.dtype if isinstance(data.x, Tensor) else type(data.x).__name__
        raise BadInput(f"feature_noise adds to float32 numbers in memory, and x of {data.name!r} is {kind}")
    fed = data.split(IID(), nodes, seed)
    node = torch.empty(len(data), dtype=torch.int64)
    node[fed.index] = torch.repeat_interleave(torch.arange(nodes), fed.offsets.diff())
    noise = torch.randn(data.x.shape, generator=Key(int(seed)).child("feature_noise").torch())
    deviation = (level * (node + 1).double() / nodes).sqrt().to(torch.float32)
    noise *= deviation.view(-1, *[1] * (data.x.dim() - 1))
    return replace(data, x=data.x + noise, node=node.numpy(), name=f"{data.name} with noise")
