"""The mean of the updates nearest to that of a node which is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from foedus.aggregators.gram import distances_from
from foedus.aggregators.krum import chosen
from foedus.aggregators.rule import Joined, Withstands
from foedus.core.errors import BadInput


@dataclass(frozen=True)
class MoNNA(Withstands):
    """The mean of the n - f updates nearest to node ``pivot``'s, its own among them; needs n >= 2f + 1.

    Nearest-neighbour averaging (Farhadkhani et al. 2023, arXiv:2209.10931, where every peer is its own pivot, and sends
    ``WorkerMomentum``). The pivot has to be honest. With S the honest nodes, each of the at most f updates that are in
    the mean and not in S is as near to the pivot as one of S that is left out, so that

        ||answer - mean_S||^2 <= 4 f / (n - f)^2 * sum over S of ||u - u_pivot||^2.

    >>> import torch
    >>> MoNNA(f=1, pivot=1)(torch.tensor([[1.0, 2.0], [4.0, 5.0], [7.0, 80.0]]))
    tensor([2.5000, 3.5000])
    """

    pivot: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pivot < 0:
            raise BadInput(f"pivot is the id of a node that is trusted, at least 0; got {self.pivot}")

    @property
    def breakdown(self) -> str:
        return f"{super().breakdown} and node {self.pivot} honest"

    def step(self, u_KD: Tensor, nodes: Sequence[int], state: Any) -> tuple[Joined, Any]:
        if self.pivot not in nodes:
            raise BadInput(
                f"{self} takes the updates nearest to node {self.pivot}'s, and there is no finite one of node "
                f"{self.pivot}: ask it in every round, or let another node be the pivot"
            )
        far_K = distances_from(u_KD, u_KD[nodes.index(self.pivot)])
        return chosen(u_KD, far_K.argsort(stable=True)[: len(u_KD) - self.f]), state
