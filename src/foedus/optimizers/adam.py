"""Adam at the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.optimizers.base import Stepping


@dataclass(frozen=True)
class Adam(Stepping):
    """FedAdam (Reddi et al. 2021, arXiv:2003.00295, Algorithm 2), d being the aggregated delta.

    m <- b1 m + (1-b1) d, v <- b2 v + (1-b2) d^2, w <- w + lr m / (sqrt(v) + tau).

    Without bias correction, as in the paper's algorithm; ``bias_correction=True`` divides m and v by 1 - b^t as in
    Kingma and Ba 2015. ``v0`` is where v starts (the paper allows any v_0 >= tau^2; 0 is the usual choice in code).
    """

    lr: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    v0: float = 0.0
    bias_correction: bool = False

    def __post_init__(self) -> None:
        if not (self.lr >= 0 and 0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and self.tau > 0):
            raise BadInput(f"server Adam needs lr >= 0, betas in [0, 1) and tau > 0; got {self}")

    def init(self, w_D: Tensor) -> Any:
        return {"m": torch.zeros_like(w_D), "v": torch.full_like(w_D, self.v0), "t": 0}

    def move(self, delta_P: Tensor, moments: Any) -> tuple[Tensor, Any]:
        p = len(delta_P)
        t = moments["t"] + 1
        m = self.beta1 * moments["m"][:p] + (1 - self.beta1) * delta_P
        v = self.beta2 * moments["v"][:p] + (1 - self.beta2) * delta_P.square()
        m_hat, v_hat = m, v
        if self.bias_correction:
            m_hat, v_hat = m / (1 - self.beta1**t), v / (1 - self.beta2**t)
        return self.lr * m_hat / (v_hat.sqrt() + self.tau), {"m": m, "v": v, "t": t}
