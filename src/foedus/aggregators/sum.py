"""The sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foedus.aggregators.mean import Mean
from foedus.core.types.aggregator import Denominator
from foedus.core.types.update import Tensors


@dataclass(frozen=True)
class Sum(Mean):
    """The sum of updates, each times its weight: what an all-reduce computes. Divided by nothing.

    >>> import torch
    >>> Sum()(torch.tensor([[1.0, 2.0], [4.0, 8.0]]))
    tensor([ 5., 10.])
    """

    @property
    def denominator(self) -> Denominator:
        return Denominator("one")

    def read(self, acc: dict[str, Any], state: Any) -> tuple[Tensors, Any]:
        return acc["sum"] or {}, state
