"""Adagrad at the server."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.optimizers.adaptive import Adaptive


@dataclass(frozen=True)
class Adagrad(Adaptive):
    """FedAdagrad's step (arXiv:2003.00295), ``Adaptive`` with v <- v + d^2: steps only get smaller.

    Without momentum, as in the paper's experiments, unless ``beta1`` says so.
    """

    lr: float = 0.1
    beta1: float = 0.0
    tau: float = 1e-3
    v0: float = 0.0

    def second(self, v_P: Tensor, squared_P: Tensor) -> Tensor:
        return v_P + squared_P
