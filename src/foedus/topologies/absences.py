"""Absences: who is away when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foedus.core.errors import BadInput


@dataclass(frozen=True)
class Absence:
    """A node is away in rounds ``start`` .. ``stop`` - 1 and back in round ``stop``; None: it does not come back."""

    node: int
    start: int
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise BadInput(f"an absence goes from a round to a later one, from 0 up; got {self!r}")

    def covers(self, t: int) -> bool:
        """Whether round t is part of it."""
        return self.start <= t and (self.stop is None or t < self.stop)


def away(absences: Sequence[Absence], t: int) -> frozenset[int]:
    """Who is away in round t. Before round 0 nobody is."""
    return frozenset(a.node for a in absences if t >= 0 and a.covers(t))


def events(absences: Sequence[Absence]) -> tuple[int, ...]:
    """Rounds in which somebody leaves or comes back, ascending."""
    return tuple(sorted({t for a in absences for t in (a.start, a.stop) if t is not None}))
