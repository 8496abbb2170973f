"""Bucketing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from foedus.aggregators.mean import Mean
from foedus.aggregators.preaggregation import PreAggregation, check_then
from foedus.aggregators.rule import Rule
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.keys import Key


@dataclass(frozen=True)
class Bucketing(PreAggregation):
    """Updates are put at random into buckets of ``size``, and ``then`` joins the buckets' means.

    Karimireddy et al. 2022 (arXiv:2006.09365): means differ less than nodes do, so that a rule loses less where nodes'
    data differ. f dishonest nodes spoil at most f buckets, of which there are n / size (the last may hold fewer):
    ``then`` must withstand f of these. Every round has another order, keyed by ``seed`` and the round.

    >>> from foedus.aggregators import Median
    >>> Bucketing(size=2, then=Median())(torch.tensor([[1.0], [1.0], [1.0], [1.0], [1.0], [100.0]]))
    tensor([1.])
    """

    size: int = 2
    then: Aggregator = field(default_factory=lambda: Mean(weighted=False))
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise BadInput(f"size, the updates in a bucket, must be a whole number from 1 up; got {self.size!r}")
        check_then(self.then)

    @property
    def breakdown(self) -> str:
        return f"{self.then.breakdown} of n buckets" if isinstance(self.then, Rule) else "a robust rule for buckets"

    def least(self) -> int:
        return (self.then.least() - 1) * self.size + 1 if isinstance(self.then, Rule) else 1

    def require(self, finite: int, all: int) -> None:
        Rule.require(self, finite, all)  # what ``then`` is given are buckets

    def _buckets(self, updates: int) -> int:
        return -(-updates // self.size)

    def remembers(self) -> int:
        return 0

    def weights(self, u_KD: Tensor, state: Any) -> tuple[Tensor, Any]:
        k = len(u_KD)
        order_K = Key(self.seed).child("bucketing", state).permutation(k)
        m_LK = torch.zeros(self._buckets(k), k, dtype=torch.float64)
        m_LK[torch.arange(k) // self.size, order_K] = 1.0
        return m_LK / m_LK.sum(1, keepdim=True), state + 1
