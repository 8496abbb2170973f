"""A mean in which nodes count less the more alike they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foedus.aggregators.gram import gram
from foedus.aggregators.rule import Joined, Rule
from foedus.aggregators.weighed import weighed
from foedus.core.errors import BadInput


@dataclass(frozen=True)
class FoolsGold(Rule):
    """Nodes whose updates, summed up over all rounds, point the same way are taken for sybils of one attacker.

    (Fung, Yoon and Beschastnikh 2018, arXiv:1808.04866, algorithm 1; 2020, RAID, without its feature importance.) A
    node counts the less the larger the cosine between its sum and the most similar other one's; honest nodes that
    resemble a sybil by chance are pardoned, and a logit, steeper with ``confidence`` (the paper's kappa), drives what
    is left apart. The paper adds up updates times weights; here they are averaged by them, so that the length of the
    answer is that of an update whoever is left out. Where all are alike the answer is 0.

    It is made for sybils, and for honest nodes with different data: it does not withstand an attacker who acts alone,
    or takes honest nodes with equal data for sybils. It keeps a vector of every node that ever answered.

    >>> import torch
    >>> FoolsGold()(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-5.0, -5.0], [-5.0, -5.0], [-5.0, -5.0]]))
    tensor([0.5000, 0.5000])
    """

    confidence: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.confidence) and self.confidence > 0):
            raise BadInput(f"confidence must be a positive number, got {self.confidence}")

    @property
    def breakdown(self) -> str:
        return "at least 1 honest node, and dishonest ones that are alike"

    def begin(self, d: int) -> dict[str, Tensor]:
        return {}

    def step(self, u_KD: Tensor, nodes: Sequence[int], state: Any) -> tuple[Joined, Any]:
        sums = dict(state)
        for node, u_D in zip(map(str, nodes), u_KD, strict=True):
            sums[node] = sums[node] + u_D if node in sums else u_D.clone()
        known = sorted(sums, key=int)
        weights_N = unlike(gram(torch.stack([sums[n].to(u_KD.dtype) for n in known])), self.confidence)
        return weighed(weights_N[[known.index(str(n)) for n in nodes]], u_KD), sums


def unlike(g_KK: Tensor, confidence: float = 1.0) -> Tensor:
    """Weights (K,) in [0, 1] of vectors with these inner products (K, K): 0 for what has its like among the others."""
    size_K = g_KK.diagonal().sqrt()
    cosine_KK = (g_KK / (size_K[:, None] * size_K)).nan_to_num(0.0)  # what is 0 resembles nothing
    cosine_KK.fill_diagonal_(0)
    most_K = cosine_KK.amax(1).clamp(min=0)
    pardon_KK = (most_K[:, None] / most_K).nan_to_num(1.0).clamp(max=1)
    w_K = (1 - (cosine_KK * pardon_KK).amax(1)).clamp(0, 1)
    if not bool(w_K.any()):
        return w_K
    return (confidence * ((w_K / w_K.max()).clamp(max=0.99).logit() + 0.5)).clamp(0, 1)
