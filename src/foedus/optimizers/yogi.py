"""Yogi at the server."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.optimizers.adaptive import Adaptive


@dataclass(frozen=True)
class Yogi(Adaptive):
    """FedYogi's step (arXiv:2003.00295), ``Adaptive`` with v <- v - (1-b2) d^2 sign(v - d^2).

    Like Adam, but v moves by an amount that does not depend on v, so that it forgets large deltas slowly.
    """

    lr: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    v0: float = 0.0

    def second(self, v_P: Tensor, squared_P: Tensor) -> Tensor:
        return v_P - (1 - self.beta2) * squared_P * (v_P - squared_P).sign()
