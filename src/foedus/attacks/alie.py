"""A little is enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from torch import Tensor

from foedus.attacks.colluding import Known, check_knows
from foedus.attacks.directed import Directed
from foedus.attacks.numbers import spread
from foedus.core.errors import BadInput


@dataclass(frozen=True)
class ALIE(Directed):
    """Sends ``mean - z * std`` of the honest updates, number by number: within their spread, and always to one side
    (Baruch, Baruch and Goldberg 2019, arXiv:1902.06156, algorithm 1).

    ``z``  how many standard deviations (dividing by K, as in the authors' code); negative: to the other side. None:
           ``z_max`` of the paper, which is as far as a majority can be won for. That may be 0, and nothing happens.

    >>> import torch
    >>> ALIE(z=1.0)(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    tensor([[1., 5.]])
    """

    z: float | None = None
    knows: Literal["honest", "coalition"] = "honest"

    def __post_init__(self) -> None:
        if self.z is not None and not math.isfinite(self.z):
            raise BadInput(f"z must be a finite number, or None for the paper's z_max; got {self.z}")
        check_knows(self.knows)

    def direction(self, seen_KD: Tensor) -> Tensor:
        return -spread(seen_KD, 0)

    def strength(self, known: Known) -> float:
        return z_max(known.answers, known.dishonest) if self.z is None else self.z


def z_max(n: int, m: int) -> float:
    """How many standard deviations m of n nodes may be off, so that the s honest ones that they need for a majority are
    likely to be further off: Phi^-1((n - m - s) / (n - m)) with s = floor(n/2 + 1) - m, and never less than 0.

    Who is a majority already needs nobody; they go as far as if they needed one.

    >>> round(z_max(50, 24), 6), z_max(10, 2)
    (1.426077, 0.0)
    """
    honest, needed = n - m, max(1, n // 2 + 1 - m)
    share = (honest - needed) / honest if honest else 0.0
    return max(0.0, NormalDist().inv_cdf(share)) if share > 0 else 0.0
