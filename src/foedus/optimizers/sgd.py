"""Gradient descent at the server, with or without momentum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.optimizers.base import Stepping


@dataclass(frozen=True)
class SGD(Stepping):
    """w <- w + lr v with v <- momentum v + delta.

    ``SGD(lr=1)`` is FedAvg, ``momentum > 0`` is FedAvgM (Hsu et al. 2019, arXiv:1909.06335).
    """

    lr: float = 1.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lr) and self.lr >= 0 and 0 <= self.momentum < 1):
            raise BadInput(
                f"server SGD needs lr >= 0 and momentum in [0, 1); got lr={self.lr}, momentum={self.momentum}"
            )

    def init(self, w_D: Tensor) -> Any:
        return {"v": torch.zeros_like(w_D)} if self.momentum else None

    def move(self, delta_P: Tensor, moments: Any) -> tuple[Tensor, Any]:
        if moments is None:
            return delta_P * self.lr if self.lr != 1.0 else delta_P, None
        v = self.momentum * moments["v"][: len(delta_P)] + delta_P
        return v * self.lr, {"v": v}
