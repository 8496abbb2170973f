"""The measured machine as a network for the simulator."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foedus.core.errors import BadInput
from foedus.core.time.cost import Link
from foedus.core.types.job import Work
from foedus.core.types.keys import Key
from foedus.network import Links
from foedus.network.model import Jitter, Steady
from foedus.speedup.model import JobCosts


@dataclass(frozen=True)
class Measured:
    """Nodes that compute as ``job`` was measured to. It is a ``core.time.cost.Network``.

    A ``Device`` has one speed; a processor does not: a small job has a fixed part, and a large one leaves the cache.
    ``fixed_s``  seconds that every job takes on top.   ``jitter``  by what factor one job takes longer than usual.
    ``server_up``, ``server_down``  bytes per second, of all nodes together.
    Errors: ``BadInput`` for a time that is negative or not finite.
    """

    links: Links
    job: JobCosts
    fixed_s: float = 0.0
    jitter: Jitter = Steady()
    server_up: float = math.inf
    server_down: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.fixed_s < math.inf:
            raise BadInput(f"fixed_s is {self.fixed_s!r}: it must be a finite number of seconds, at least 0")

    def link(self, node: int, key: Key) -> Link:
        """The node's connection."""
        return self.links.draw(key)

    def compute_seconds(self, node: int, work: Work, flops: float, node_key: Key, job_key: Key) -> float:
        """Seconds the node computes."""
        return (self.job.seconds(work.samples) + self.fixed_s) * self.jitter.draw(job_key.child("jitter"))
