"""The measured machine as a network for the simulator."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.core.cost import Link
from foedus.core.errors import BadInput
from foedus.core.job import Work
from foedus.core.keys import Key
from foedus.network import CostModel


@dataclass(frozen=True)
class WithFixed:
    """A network on which every job takes ``fixed_s`` seconds on top of what its work takes. It is a ``Network``.

    With nearly no rows a job still takes its time: without it, a speed-up would grow for ever.
    Errors: ``BadInput`` for a negative time.
    """

    fixed_s: float
    inner: CostModel

    def __post_init__(self) -> None:
        if not 0 <= self.fixed_s < float("inf"):
            raise BadInput(f"fixed_s is {self.fixed_s!r}: it must be a finite number of at least 0")

    @property
    def server_up(self) -> float:
        """Bytes per second that all nodes together can send to the server."""
        return self.inner.server_up

    @property
    def server_down(self) -> float:
        """Bytes per second that the server can send to all nodes together."""
        return self.inner.server_down

    def link(self, node: int, key: Key) -> Link:
        """The node's connection."""
        return self.inner.link(node, key)

    def compute_seconds(self, node: int, work: Work, flops: float, node_key: Key, job_key: Key) -> float:
        """Seconds the node computes; all of it is jittered alike."""
        jitter = self.inner.device.jitter.draw(job_key.child("jitter"))
        return self.inner.compute_seconds(node, work, flops, node_key, job_key) + self.fixed_s * jitter
