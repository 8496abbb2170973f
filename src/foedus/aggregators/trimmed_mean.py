"""The coordinate-wise trimmed mean."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators.stack import Stack
from foedus.core.errors import BadInput


@dataclass(frozen=True)
class TrimmedMean(Stack):
    """The mean of every coordinate without its f smallest and f largest values; needs n >= 2f + 1.

    Withstands f lying nodes (Yin et al. 2018, arXiv:1803.01498). Ignores weights.

    >>> import torch
    >>> TrimmedMean(f=1)(torch.tensor([[1.0], [2.0], [3.0], [100.0]]))
    tensor([2.5000])
    """

    f: int = 1

    def __post_init__(self) -> None:
        if self.f < 0:
            raise BadInput(f"f, the updates trimmed at each end, must be at least 0; got {self.f}")

    def least(self) -> int:
        return 2 * self.f + 1

    def reduce(self, u_KD: Tensor) -> Tensor:
        return u_KD.sort(dim=0).values[self.f : len(u_KD) - self.f].mean(0)
