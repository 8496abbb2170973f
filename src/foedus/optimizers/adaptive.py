"""What Adagrad, Adam and Yogi share at the server: a step is divided by the root of a second moment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.optimizers.base import Stepping


class Adaptive(Stepping):
    """FedOpt (Reddi et al. 2021, arXiv:2003.00295, Algorithm 2), d being the aggregated delta.

    m <- b1 m + (1-b1) d, v <- ``second(v, d^2)``, w <- w + lr m / (sqrt(v) + tau).
    ``v0`` is where v starts (the paper allows any v_0 >= tau^2; 0 is the usual choice in code).
    """

    lr: float
    beta1: float
    tau: float
    v0: float

    def __post_init__(self) -> None:
        betas = (self.beta1, getattr(self, "beta2", 0.0))
        if not (self.lr >= 0 and all(0 <= b < 1 for b in betas) and self.tau > 0 and self.v0 >= 0):
            raise BadInput(
                f"server {type(self).__name__} needs lr >= 0, betas in [0, 1), tau > 0 and v0 >= 0; got {self}"
            )

    def init(self, w_D: Tensor) -> Any:
        return {"m": torch.zeros_like(w_D), "v": torch.full_like(w_D, self.v0), "t": 0}

    def second(self, v_P: Tensor, squared_P: Tensor) -> Tensor:
        """The next second moment."""
        raise NotImplementedError

    def corrected(self, m_P: Tensor, v_P: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """The moments as the t-th step uses them."""
        return m_P, v_P

    def move(self, delta_P: Tensor, moments: Any) -> tuple[Tensor, Any]:
        p, t = len(delta_P), moments["t"] + 1
        m = self.beta1 * moments["m"][:p] + (1 - self.beta1) * delta_P
        v = self.second(moments["v"][:p], delta_P.square())
        m_hat, v_hat = self.corrected(m, v, t)
        return self.lr * m_hat / (v_hat.sqrt() + self.tau), {"m": m, "v": v, "t": t}
