"""How much an update still counts when it is stale: a factor from the number of versions that its node missed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from foedus.core.errors import BadInput


@runtime_checkable
class Discount(Protocol):
    """A frozen dataclass, from a staleness (0, 1, ...) to a factor; a fresh update counts fully."""

    def factor(self, staleness: int) -> float:
        """Between 0 and 1."""
        ...


@dataclass(frozen=True)
class Constant:
    """Every update counts alike, however stale.

    >>> Constant().factor(7)
    1.0
    """

    def factor(self, staleness: int) -> float:
        return 1.0


@dataclass(frozen=True)
class StalenessAware:
    """``1 / staleness`` (1 for a fresh update): the rate of staleness-aware SGD (Zhang et al. 2016, arXiv:1511.05950).

    >>> [StalenessAware().factor(t) for t in (0, 1, 4)]
    [1.0, 1.0, 0.25]
    """

    def factor(self, staleness: int) -> float:
        return 1.0 / max(1, staleness)


@dataclass(frozen=True)
class Polynomial:
    """``(1 + staleness) ** -power`` (Xie et al. 2019, arXiv:1903.03934). Power 1/2 is also FedBuff's.

    >>> Polynomial(power=0.5).factor(3)
    0.5
    """

    power: float = 0.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.power) and self.power >= 0):
            raise BadInput(f"Polynomial's power must be a non-negative number, got {self.power}")

    def factor(self, staleness: int) -> float:
        return float((1.0 + staleness) ** -self.power)


@dataclass(frozen=True)
class Hinge:
    """1 up to a staleness of ``grace``, then ``1 / (slope (staleness - grace) + 1)`` (Xie et al. 2019).

    The paper's a and b are ``slope`` and ``grace``.

    >>> Hinge(slope=1.0, grace=4).factor(4), Hinge(slope=1.0, grace=4).factor(7)
    (1.0, 0.25)
    """

    slope: float = 10.0
    grace: int = 4

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and self.slope >= 0 and self.grace >= 0):
            raise BadInput(f"Hinge needs slope >= 0 and grace >= 0; got slope={self.slope}, grace={self.grace}")

    def factor(self, staleness: int) -> float:
        return 1.0 / (self.slope * max(0, staleness - self.grace) + 1.0)
