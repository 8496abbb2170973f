"""Norm bounding: no update is longer than a bound."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from foedus.aggregators.clipping import Clipping, check_length
from foedus.aggregators.mean import Mean
from foedus.aggregators.preaggregation import check_then
from foedus.core.types.aggregator import Aggregator


@dataclass(frozen=True)
class NormBound(Clipping):
    """Updates longer than ``bound`` are scaled down to it, and ``then`` joins them: static clipping.

    Sun et al. 2019 (arXiv:1911.07963), where ``then`` is the mean. It takes from model replacement its length: with the
    mean, f of n dishonest nodes move the answer by at most 2 f bound / n, whatever f. They still have a say: small
    steady steps go through. The coordinator does it, to updates as they arrive; ``Clip`` asks nodes to do it
    themselves.

    ``bound``  in the unit of the updates' Euclidean norm. What honest updates usually have is a good one.

    >>> import torch
    >>> NormBound(bound=5.0)(torch.tensor([[3.0, 4.0], [0.0, 1.0], [300.0, -400.0]]))
    tensor([2.0000, 0.3333])
    """

    bound: float
    then: Aggregator = field(default_factory=lambda: Mean(weighted=False))

    def __post_init__(self) -> None:
        check_length(self.bound, "bound")
        check_then(self.then)

    @property
    def breakdown(self) -> str:
        return "any n, and bounds what f nodes do whatever f"

    def most(self, lengths_K: Tensor) -> float:
        return self.bound
