"""Graph: who sends to whom among so many nodes, and what can be known about it before anything runs.

NetworkX is imported in this file alone, and only when it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from foedus.core.coordination.peer import Topology, edges_of
from foedus.core.errors import BadInput


@dataclass(frozen=True)
class Graph:
    """``out[i]``: ids that node i sends to, ascending. ``away``: nodes that are not there, without any edge.

    >>> Graph(((1,), (2,), (0,))).into
    ((2,), (0,), (1,))
    """

    out: tuple[tuple[int, ...], ...]
    away: frozenset[int] = frozenset()

    @property
    def nodes(self) -> int:
        """How many nodes there are, those away included."""
        return len(self.out)

    @cached_property
    def into(self) -> tuple[tuple[int, ...], ...]:
        """``into[i]``: ids that send to node i, ascending."""
        into: list[list[int]] = [[] for _ in self.out]
        for i, row in enumerate(self.out):
            for j in row:
                into[j].append(i)
        return tuple(map(tuple, into))

    @cached_property
    def directed(self) -> bool:
        """Whether some edge goes one way only."""
        return self.out != self.into

    @property
    def edges(self) -> list[tuple[int, int]]:
        """All edges ``(from, to)``; an edge that goes both ways once, as ``(lower, higher)``."""
        return [(i, j) for i, row in enumerate(self.out) for j in row if self.directed or i < j]

    def without(self, away: frozenset[int]) -> Graph:
        """The graph among the others."""
        if not away:
            return self
        rows = (() if i in away else tuple(j for j in row if j not in away) for i, row in enumerate(self.out))
        return Graph(tuple(rows), self.away | away)

    def pieces(self) -> list[list[int]]:
        """The sets of nodes among which everybody reaches everybody, by their lowest id."""
        nx = _networkx()
        found = nx.strongly_connected_components(self._digraph())
        return sorted(sorted(piece) for piece in found)

    def sides(self) -> tuple[list[int], list[int]] | list[int]:
        """The two sides of a bipartite graph, every edge between them; or, of another, an odd cycle."""
        side: dict[int, int] = {}
        parent: dict[int, int] = {}
        for root in range(self.nodes):
            if root in side:
                continue
            side[root] = 0
            queue = [root]
            for i in queue:
                for j in (*self.out[i], *self.into[i]):
                    if j not in side:
                        side[j], parent[j] = 1 - side[i], i
                        queue.append(j)
                    elif side[j] == side[i]:
                        return _cycle(parent, i, j)
        return [i for i in side if not side[i]], [i for i in side if side[i]]

    def spring(self) -> list[tuple[float, float]]:
        """Positions of the nodes that are as far apart as the way between them (Kamada and Kawai 1989)."""
        at = _networkx().kamada_kawai_layout(self._digraph().to_undirected())
        return [(float(at[i][0]), float(at[i][1])) for i in range(self.nodes)]

    def _digraph(self) -> Any:
        graph = _networkx().DiGraph()
        graph.add_nodes_from(range(self.nodes))
        graph.add_edges_from((i, j) for i, row in enumerate(self.out) for j in row)
        return graph


def _networkx() -> Any:
    import networkx  # type: ignore[import-untyped]

    return networkx


def _cycle(parent: dict[int, int], i: int, j: int) -> list[int]:
    """The cycle that the edge between i and j closes in the tree of a breadth-first search."""

    def line(k: int) -> list[int]:
        up = [k]
        while up[-1] in parent:
            up.append(parent[up[-1]])
        return up

    a, b = line(i), line(j)
    while len(a) > 1 and len(b) > 1 and a[-2] == b[-2]:
        a.pop()
        b.pop()
    return a + b[-2::-1]


@lru_cache(maxsize=256)
def graph_of(topology: Topology, nodes: int) -> Graph:
    """The graph of a topology (of one instant, where it changes). Errors: ``BadInput`` if it does not fit the nodes."""
    if nodes < 1:
        raise BadInput(f"a graph has at least one node, got {nodes}")
    return Graph(edges_of(topology, nodes))


def random_regular(degree: int, nodes: int, seed: int) -> list[tuple[int, int]]:
    """Edges of a random graph whose nodes all have this degree (Steger and Wormald 1999)."""
    nx = _networkx()
    return sorted((min(e), max(e)) for e in nx.random_regular_graph(degree, nodes, seed=seed).edges())


def require_connected(graph: Graph, name: str, advice: str) -> None:
    """Errors: ``BadInput`` with the pieces, unless everybody reaches everybody."""
    pieces = graph.pieces()
    if len(pieces) == 1:
        return
    shown = ", ".join(_braces(p) for p in pieces[:6]) + (", ..." if len(pieces) > 6 else "")
    if not graph.directed:
        what = f"the graph falls apart into {len(pieces)} pieces: {shown}; nodes of different pieces never agree"
    else:
        what = (
            f"the directed graph is not strongly connected: {len(pieces)} pieces cannot all reach each other: {shown}; "
            "what some nodes know never comes to others"
        )
    raise BadInput(f"{name}: {what}. {advice}")


def _braces(ids: Sequence[int]) -> str:
    """``{0,1,4..7}``."""
    runs: list[list[int]] = []
    for i in ids:
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    parts = [f"{a}" if a == b else f"{a},{b}" if b == a + 1 else f"{a}..{b}" for a, b in runs]
    return "{" + ",".join(parts) + "}"


def divisors(n: int) -> list[tuple[int, int]]:
    """All ``(rows, columns)`` with 1 < rows <= columns and rows * columns = n, the most square last."""
    return [(r, n // r) for r in range(2, math.isqrt(n) + 1) if n % r == 0]
