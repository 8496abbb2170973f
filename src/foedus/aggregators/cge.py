"""The mean of the shortest updates."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators.clipping import lengths
from foedus.aggregators.krum import chosen
from foedus.aggregators.rule import Joined, Withstands


@dataclass(frozen=True)
class CGE(Withstands):
    """The mean of the n - f shortest updates; needs n >= 2f + 1.

    Comparative gradient elimination (Gupta, Liu and Vaidya 2021, arXiv:2008.04699, who add the gradients up). What is
    in the mean is no longer than the longest honest update, and so is the mean. It looks at lengths alone: an attack
    that is no longer than honest updates, such as a sign flip, goes through.

    >>> import torch
    >>> CGE(f=1)(torch.tensor([[1.0, 2.0], [2.0, 2.0], [70.0, 80.0]]))
    tensor([1.5000, 2.0000])
    """

    def reduce(self, u_KD: Tensor) -> Joined:
        return chosen(u_KD, lengths(u_KD).argsort(stable=True)[: len(u_KD) - self.f])
