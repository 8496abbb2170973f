"""Call: one job given to several nodes, and who has answered when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from foedus.core.delivery import Delivery
from foedus.core.execute import Plan
from foedus.core.update import Failed


@dataclass
class Call:
    """One map over nodes: what was asked, and who has answered when."""

    plan: Plan
    placed: Any
    nodes: tuple[int, ...]
    counts: list[int]
    bytes_down: int
    bytes_up: int
    began: float
    deliveries: list[Delivery | None] = field(default_factory=list)
    arrivals: dict[int, float] = field(default_factory=dict)
    """Position -> time, in order of arrival."""
    failed: dict[int, Failed] = field(default_factory=dict)
    lost: dict[int, Failed] = field(default_factory=dict)
    """Position -> that its node went off or dropped out."""
    retried: dict[int, Failed] = field(default_factory=dict)
    """Position -> how its first attempt failed."""

    def reason(self, position: int) -> Failed | None:
        """Why there is no answer, if it is not just late."""
        return self.failed.get(position) or self.lost.get(position) or self.retried.get(position)

    @property
    def out(self) -> int:
        """How many nodes may still answer."""
        return len(self.nodes) - len(self.arrivals) - len(self.lost)

    def median(self, now: float) -> float:
        """Seconds after which the median node was done; one without an answer was out to the end."""
        middle = (len(self.nodes) - 1) // 2
        arrivals = list(self.arrivals.values())
        return (arrivals[middle] if middle < len(arrivals) else now) - self.began

    def awaited(self, now: float) -> list[float]:
        """By position: how long others waited for it. Whoever waits, waits for all that are still out alike."""
        n = len(self.nodes)
        came = len(self.arrivals)
        blame, before, shares = 0.0, self.began, [0.0] * n
        for i, (position, arrived) in enumerate(self.arrivals.items()):
            blame += i * (arrived - before) / (n - i)
            shares[position], before = blame, arrived
        if came < n:
            blame += came * (now - before) / (n - came)
            for position in range(n):
                if position not in self.arrivals:
                    shares[position] = blame
        return shares
