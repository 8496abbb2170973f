"""The cost model's place: what the virtual clock asks about nodes and links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from foedus.core.job import Work
from foedus.core.keys import Key


@dataclass(frozen=True)
class Link:
    """One node's connection. ``latency`` in seconds one way; ``up`` and ``down`` in bytes per second (inf: free)."""

    latency: float
    up: float
    down: float


@runtime_checkable
class Network(Protocol):
    """Links and devices as a cost model. Every draw comes from the key it is given, so a node keeps its character."""

    @property
    def server_up(self) -> float:
        """Bytes per second that all nodes together can send to the server (inf: no limit)."""
        ...

    @property
    def server_down(self) -> float:
        """Bytes per second that the server can send to all nodes together (inf: no limit)."""
        ...

    def link(self, node: int, key: Key) -> Link:
        """The node's connection; ``key`` belongs to the node."""
        ...

    def compute_seconds(self, node: int, work: Work, flops: float, node_key: Key, job_key: Key) -> float:
        """Seconds the node computes. ``flops``: one forward pass of one row; ``job_key`` belongs to this job alone."""
        ...
