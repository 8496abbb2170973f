"""Many identities of one attacker.

Legend: M identities, D numbers of an update.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from foedus.attacks.attack import Around, Attack
from foedus.attacks.colluding import Colluding, Known
from foedus.attacks.label_flip import LabelFlip
from foedus.core.errors import BadInput
from foedus.core.types.update import Tensors


@dataclass(frozen=True)
class Sybils(Around, Colluding):
    """The dishonest nodes are one attacker, who sends the same under all of their ids: the mean of what ``attack``
    makes at each of them. What FoolsGold looks for (Fung, Yoon and Beschastnikh 2020, arXiv:1808.04866).

    ``jitter``  noise of an own for every id, so that no two are equal: its expected norm, against that of the mean.
    """

    attack: Attack = field(default_factory=LabelFlip)
    jitter: float = 1e-3
    knows = "coalition"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.jitter) and self.jitter >= 0):
            raise BadInput(f"jitter must be a number from 0 up, got {self.jitter}")

    def agree(self, known: Known, memory: Tensors) -> tuple[Tensor, Tensors]:
        own_MD = known.own_MD
        mean_D = own_MD.mean(0)
        noise_MD = torch.randn(own_MD.shape, generator=known.key.child("jitter").torch(), dtype=own_MD.dtype)
        size = self.jitter * float(mean_D.norm()) / math.sqrt(max(1, len(mean_D)))
        return mean_D + size * noise_MD, memory
