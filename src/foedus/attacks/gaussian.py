"""Noise in the place of an update."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.attacks.on_vector import OnVector, check_positive
from foedus.core.types.keys import Key


@dataclass(frozen=True)
class Gaussian(OnVector):
    """Sends independent normal numbers with mean 0 and this standard deviation (Blanchard et al. 2017,
    arXiv:1703.02757, section 5, where it is 200). In the units of the update: one such answer moves a mean over n by
    about std / n in each number.
    """

    std: float = 10.0

    def __post_init__(self) -> None:
        check_positive("std", self.std)

    def vector(self, own_D: Tensor, key: Key) -> Tensor:
        return torch.randn(own_D.shape, generator=key.torch(), dtype=own_D.dtype) * self.std
