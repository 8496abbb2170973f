"""Nearest-neighbour mixing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from foedus.aggregators.gram import squared_distances
from foedus.aggregators.mean import Mean
from foedus.aggregators.preaggregation import PreAggregation, check_then
from foedus.aggregators.rule import Withstands
from foedus.core.types.aggregator import Aggregator


@dataclass(frozen=True)
class NNM(Withstands, PreAggregation):
    """Every update becomes the mean of the n - f nearest to it, itself among them; needs n >= 2f + 1.

    Nearest-neighbour mixing (Allouah et al. 2023, arXiv:2302.01772): it makes a rule such as the median as good as any
    can be where nodes' data differ. Of two that are equally near, the one with the lower id.

    >>> NNM(f=1)(torch.tensor([[1.0], [2.0], [3.0], [100.0]]))
    tensor([10.2500])
    >>> from foedus.aggregators import TrimmedMean
    >>> NNM(f=1, then=TrimmedMean(f=1))(torch.tensor([[1.0], [2.0], [3.0], [100.0]]))
    tensor([2.])
    """

    then: Aggregator = field(default_factory=lambda: Mean(weighted=False))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_then(self.then)

    def weights(self, u_KD: Tensor, state: Any) -> tuple[Tensor, Any]:
        near = len(u_KD) - self.f
        d_KK = squared_distances(u_KD).fill_diagonal_(-1.0)  # nearer than one that is equal
        nearest_KN = d_KK.sort(dim=1, stable=True).indices[:, :near]
        return torch.zeros_like(d_KK).scatter_(1, nearest_KN, 1 / near), state
