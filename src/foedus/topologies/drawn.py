"""Graphs drawn at random: from a key, so that everybody draws the same."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.topologies.graph import random_regular
from foedus.topologies.shapes import Shape

Rows = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Regular(Shape):
    """A random graph in which everybody has ``degree`` neighbours: sparse, and yet it mixes fast (an expander).

    It exists where degree < nodes and degree x nodes is even.
    """

    degree: int = 3
    seed: int = 0
    layout = "spring"

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        return _regular(self, nodes)[node]


@dataclass(frozen=True)
class ErdosRenyi(Shape):
    """Every two nodes are neighbours with probability ``p``, independently (Erdos and Renyi 1959).

    Connected with high probability where p is well above ln(n) / n; a draw that is not is refused when a run starts.
    """

    p: float = 0.5
    seed: int = 0
    layout = "spring"

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise BadInput(f"the probability of an edge lies in [0, 1], got p={self.p}")

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        return _erdos_renyi(self, nodes)[node]

    def advice(self, nodes: int) -> str:
        """What to do when a draw is not connected."""
        return (
            f"Raise p (now {self.p:g}) well above ln(n)/n = {math.log(max(2, nodes)) / nodes:.2g}, or take another seed"
        )


@lru_cache(maxsize=64)
def _regular(topology: Regular, nodes: int) -> Rows:
    d = topology.degree
    if d < 1 or d >= nodes or d * nodes % 2:
        fits = [k for k in range(1, nodes) if k * nodes % 2 == 0]
        near = sorted(sorted(fits, key=lambda k: abs(k - d))[:3])
        said = f"degrees {', '.join(map(str, near))} would do" if near else "a graph of one node has no edges"
        raise BadInput(
            f"no graph of {nodes} nodes has degree {d} everywhere: the degree is at least 1 and below the number of "
            f"nodes, and degree x nodes is even; {said}"
        )
    seed = Key(topology.seed).child("topology", "regular", d, nodes).integer()
    return both_ways(random_regular(d, nodes, seed), nodes)


@lru_cache(maxsize=64)
def _erdos_renyi(topology: ErdosRenyi, nodes: int) -> Rows:
    low, high = np.triu_indices(nodes, 1)
    key = Key(topology.seed).child("topology", "erdos-renyi", nodes)
    chosen = key.numpy().random(len(low)) < topology.p
    return both_ways(zip(low[chosen].tolist(), high[chosen].tolist(), strict=True), nodes)


def both_ways(edges: Iterable[tuple[int, int]], nodes: int) -> Rows:
    """Neighbours of every node, ascending."""
    rows: list[set[int]] = [set() for _ in range(nodes)]
    for i, j in edges:
        rows[i].add(j)
        rows[j].add(i)
    return tuple(tuple(sorted(row)) for row in rows)
