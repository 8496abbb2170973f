"""Learning rates that change from round to round. A schedule is any callable from the round (0, 1, ...) to a rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class InverseTime:
    """``lr / (1 + decay * t)``: the 1/t rate under which FedAvg converges (Li et al. 2020, arXiv:1907.02189).

    >>> InverseTime(lr=0.5, decay=1.0)(3)
    0.125
    """

    lr: float
    decay: float = 1.0

    def __call__(self, t: int) -> float:
        return self.lr / (1.0 + self.decay * t)


@dataclass(frozen=True)
class ExponentialDecay:
    """``lr * factor ** t`` (McMahan et al. 2017 decay the rate by .99 a round on CIFAR).

    >>> ExponentialDecay(lr=1.0, factor=0.5)(3)
    0.125
    """

    lr: float
    factor: float = 0.99

    def __call__(self, t: int) -> float:
        return float(self.lr * self.factor**t)


@dataclass(frozen=True)
class Cosine:
    """From ``lr`` down to ``last`` along half a cosine over ``rounds`` (Loshchilov and Hutter, arXiv:1608.03983).

    >>> Cosine(lr=1.0, rounds=2)(1)
    0.5
    """

    lr: float
    rounds: int
    last: float = 0.0

    def __call__(self, t: int) -> float:
        part = min(t, self.rounds) / self.rounds
        return self.last + (self.lr - self.last) * (1.0 + math.cos(math.pi * part)) / 2.0
