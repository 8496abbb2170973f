"""What keeps peers apart.

Legend: K messages that were heard, D numbers of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from foedus.attacks.attack import Attack
from foedus.attacks.numbers import numbers, with_numbers
from foedus.attacks.on_vector import check_positive
from foedus.attacks.scaling import alike
from foedus.core.types.policy import Said
from foedus.core.types.update import Tensors


@dataclass(frozen=True)
class Dissensus(Attack):
    """Without a server: says to each neighbour i what takes it away from its other neighbours (He, Karimireddy and
    Jaggi 2022, arXiv:2202.01545, section 3). Over i's honest neighbours k and its dishonest ones b that is

        x_i - eps * sum_k W_ik (x_k - x_i) / sum_b W_ib.

    With eps = 1 gossip at i stands still; with more, models move apart.

    The paper's attacker sees all models. This one has heard its own neighbours: it takes them for i's, with equal
    weights, and itself for i's only dishonest one. On a complete graph with one of them that is the paper's. With a
    server it does nothing.
    """

    eps: float = 1.5
    knows = "honest"
    speaks = True

    def __post_init__(self) -> None:
        check_positive("eps", self.eps)

    def says(self, said: Said, parts: Tensors, heard: Mapping[int, Tensors]) -> Tensors:
        near = alike(parts, heard)
        if said.to not in near or len(near) < 2:
            return parts
        own_D = numbers(near[said.to])
        others_KD = torch.stack([numbers(p) for n, p in near.items() if n != said.to])
        return with_numbers(parts, own_D - self.eps * (others_KD - own_D).sum(0))
