"""The cost model's place: what the virtual clock asks about nodes and links."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from foedus.core.types.keys import Key

if TYPE_CHECKING:
    from foedus.core.types.job import Work


@dataclass(frozen=True)
class Link:
    """One node's connection. ``latency`` in seconds one way; ``up`` and ``down`` in bytes per second (inf: free)."""

    latency: float
    up: float
    down: float


class Spell(NamedTuple):
    """A time during which a node is on, or off: until ``end`` (inf: for good). ``number`` counts a node's spells."""

    on: bool
    end: float
    number: int


@runtime_checkable
class Availability(Protocol):
    """A frozen dataclass that says when nodes are on. What it answers depends on node, time and key alone."""

    def spell(self, node: int, when: float, key: Key, known: Spell | None = None) -> Spell:
        """The spell that the node is in at ``when`` (>= 0); ``end > when``. ``key`` belongs to the node.

        ``known`` is an earlier spell of this node, from which to go on: the answer is the same with and without it.
        """
        ...


@dataclass(frozen=True)
class Always:
    """Every node is on, always. It is what a network without availability has.

    >>> Always().spell(3, 0.0, Key(0))
    Spell(on=True, end=inf, number=0)
    """

    def spell(self, node: int, when: float, key: Key, known: Spell | None = None) -> Spell:
        """One spell that never ends."""
        return Spell(True, math.inf, 0)


@runtime_checkable
class Network(Protocol):
    """Links and devices as a cost model. Every draw comes from the key it is given, so a node keeps its character.

    Two more attributes may be there: ``availability``, an ``Availability`` (without it ``Always()``), and
    ``dropout``, the chance in [0, 1) that a job is lost while it is computed (without it 0).
    """

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
