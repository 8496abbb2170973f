"""Sketch: where to draw the nodes of a graph. Data for whoever draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foedus.core.coordination.peer import Topology
from foedus.topologies.graph import graph_of
from foedus.topologies.mixing import describe
from foedus.topologies.weights import Weights

Point = tuple[float, float]


@dataclass(frozen=True)
class Sketch:
    """A graph as a picture: ``positions`` within the unit square, y downwards, and ``edges`` between them.

    ``wraps``  of the edges those that leave a grid on one side and come back on the other.
    ``title``  what it is, in one line.
    """

    positions: tuple[Point, ...]
    edges: tuple[tuple[int, int], ...]
    directed: bool
    wraps: frozenset[tuple[int, int]]
    title: str


def sketch(topology: Topology, nodes: int, weights: Weights | None = None) -> Sketch:
    """Positions and edges of a topology: on a circle, a grid, around a hub, or where its edges pull its nodes.

    >>> from foedus.topologies import Ring
    >>> s = sketch(Ring(), 4)
    >>> s.edges, s.positions[0]
    (((0, 1), (0, 3), (1, 2), (2, 3)), (0.5, 0.0))
    """
    graph = graph_of(topology, nodes)
    layout = getattr(topology, "layout", "circle")
    wraps: frozenset[tuple[int, int]] = frozenset()
    if layout == "grid":
        points = _grid(*topology.shape(nodes))  # type: ignore[attr-defined]
        wraps = frozenset(e for e in graph.edges if math.dist(points[e[0]], points[e[1]]) > 1.5)
    elif layout == "star":
        points = _star(topology.hub, nodes)  # type: ignore[attr-defined]
    elif layout == "cube":
        points = _cube(nodes)
    elif layout == "spring" and nodes > 2:
        points = graph.spring()
    else:
        points = _circle(nodes)
    return Sketch(_fit(points), tuple(graph.edges), graph.directed, wraps, describe(topology, nodes, weights))


def _circle(nodes: int) -> list[Point]:
    # Rounded, so that what should be level is level.
    turns = (2 * math.pi * i / nodes for i in range(nodes))
    return [(round(math.sin(a), 12), round(-math.cos(a), 12)) for a in turns]


def _grid(rows: int, columns: int) -> list[Point]:
    return [(float(c), float(r)) for r in range(rows) for c in range(columns)]


def _star(hub: int, nodes: int) -> list[Point]:
    around = iter(_circle(max(1, nodes - 1)))
    return [(0.0, 0.0) if i == hub else next(around) for i in range(nodes)]


def _cube(nodes: int) -> list[Point]:
    """Every binary digit is a direction of its own, the later ones shorter, so that no two nodes meet."""
    bits = max(1, (nodes - 1).bit_length())
    arms = [(0.62**b * math.cos(1.15 * b), -(0.62**b) * math.sin(1.15 * b)) for b in range(bits)]
    return [
        (
            sum(x for b, (x, _) in enumerate(arms) if i >> b & 1),
            sum(y for b, (_, y) in enumerate(arms) if i >> b & 1),
        )
        for i in range(nodes)
    ]


def _fit(points: list[Point]) -> tuple[Point, ...]:
    """Moved and scaled alike in both directions into the unit square."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    size = max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    left = min(xs) - (size - (max(xs) - min(xs))) / 2
    top = min(ys) - (size - (max(ys) - min(ys))) / 2
    return tuple((round((x - left) / size, 6), round((y - top) / size, 6)) for x, y in points)
