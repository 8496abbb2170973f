"""FedOpt: an adaptive optimiser at the server."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.optimizers import Adagrad, Adam, Yogi
from foedus.programs.fedavg import FedAvg


@dataclass(frozen=True)
class FedAdagrad(FedAvg):
    """FedAvg whose server steps with Adagrad (Reddi et al., 2021, arXiv:2003.00295, Algorithm 2)."""

    server: Adagrad = Adagrad()


@dataclass(frozen=True)
class FedAdam(FedAvg):
    """FedAvg whose server steps with Adam (Reddi et al., 2021, arXiv:2003.00295, Algorithm 2)."""

    server: Adam = Adam()


@dataclass(frozen=True)
class FedYogi(FedAvg):
    """FedAvg whose server steps with Yogi (Reddi et al., 2021, arXiv:2003.00295, Algorithm 2)."""

    server: Yogi = Yogi()
