"""Adam at the server."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.optimizers.adaptive import Adaptive


@dataclass(frozen=True)
class Adam(Adaptive):
    """FedAdam's step (arXiv:2003.00295), ``Adaptive`` with v <- b2 v + (1-b2) d^2.

    Without bias correction, as in the paper's algorithm; ``bias_correction=True`` divides m and v by 1 - b^t as in
    Kingma and Ba 2015.
    """

    lr: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    v0: float = 0.0
    bias_correction: bool = False

    def second(self, v_P: Tensor, squared_P: Tensor) -> Tensor:
        return self.beta2 * v_P + (1 - self.beta2) * squared_P

    def corrected(self, m_P: Tensor, v_P: Tensor, t: int) -> tuple[Tensor, Tensor]:
        if not self.bias_correction:
            return m_P, v_P
        return m_P / (1 - self.beta1**t), v_P / (1 - self.beta2**t)
