"""The graph that peers talk over, as a picture of its own: one SVG file without anything outside it."""

from __future__ import annotations

import math
import textwrap
from html import escape
from pathlib import Path

from foedus.core.coordination.peer import Topology
from foedus.report.files import write_whole
from foedus.topologies import Sketch, Weights, sketch

SIDE, MARGIN = 420.0, 40.0
STUB = 26.0
"""How much is drawn of an edge that leaves the grid, at either end."""
LINE = 18.0
"""Height of a line of the title."""

_STYLE = """
:root { color-scheme: light dark; }
svg { --paper: #ffffff; --ink: #1b1f24; --edge: #8a929c; --node: #0b6fb8; --label: #ffffff; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14171b; --ink: #e8eaed; --edge: #7a838e; --node: #5cb3f0; --label: #14171b; }
}
.paper { fill: var(--paper); }
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
.title { fill: var(--ink); font-size: 13px; }
.edge { stroke: var(--edge); fill: none; }
.head { fill: var(--edge); }
.node { fill: var(--node); stroke: var(--paper); stroke-width: 2; }
.label { fill: var(--label); text-anchor: middle; dominant-baseline: central; font-weight: 600; }
"""

Point = tuple[float, float]


def draw(topology: Topology, nodes: int, path: str | Path, weights: Weights | None = None) -> Path:
    """Draw a topology as SVG, with its spectral gap, and return the path. Errors: ``BadInput`` if it cannot be written.

    ``weights``  of the spectral gap; ``Metropolis()`` by default.
    """
    return write_whole(Path(path), svg(sketch(topology, nodes, weights)).encode(), "the graph")


def svg(s: Sketch) -> str:
    """A sketch as SVG text. The same graph makes the same text.

    >>> from foedus.topologies import Ring, sketch
    >>> picture = svg(sketch(Ring(), 5))
    >>> picture.count("<circle"), picture.count('class="edge"')
    (5, 5)
    """
    n = len(s.positions)
    lines = textwrap.wrap(s.title, 60)
    if s.wraps:
        lines.append("Edges that leave the grid come back on its other side.")
    top = MARGIN + LINE * len(lines)
    at = [(MARGIN + x * SIDE, top + y * SIDE) for x, y in s.positions]
    radius = 13.0 if n <= 24 else 9.0 if n <= 64 else max(2.0, 45 / math.sqrt(n))
    # Of many edges each is thinner, so that the nodes can be seen.
    width = min(1.6, max(0.3, 60 / max(1, len(s.edges))))
    size, height = SIDE + 2 * MARGIN, SIDE + top + MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size:g} {height:g}" width="{size:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(s.title)}"><style>{_STYLE}</style>'
        f'<rect class="paper" width="{size:g}" height="{height:g}"/>'
    ]
    out += [f'<text class="title" x="16" y="{26 + LINE * i:g}">{escape(line)}</text>' for i, line in enumerate(lines)]
    for edge in s.edges:
        a, b = at[edge[0]], at[edge[1]]
        if edge in s.wraps:
            ways = [(a, _towards(a, b, -STUB)), (b, _towards(b, a, -STUB))]
        else:
            ways = [(a, _towards(b, a, radius + 1) if s.directed else b)]
        for start, end in ways:
            out.append(f'<path class="edge" stroke-width="{width:.3g}" d="M{_xy(start)} L{_xy(end)}"/>')
        if s.directed:
            out.append(_head(*ways[0], min(8.0, radius)))
    for i, (x, y) in enumerate(at):
        out.append(f'<circle class="node" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.3g}"><title>node {i}</title></circle>')
        if n <= 64:
            font = radius * (0.95 if i < 100 else 0.8)
            out.append(f'<text class="label" x="{x:.1f}" y="{y:.1f}" font-size="{font:.3g}">{i}</text>')
    return "\n".join(out) + "\n</svg>\n"


def _xy(p: Point) -> str:
    return f"{p[0]:.1f} {p[1]:.1f}"


def _towards(start: Point, end: Point, by: float) -> Point:
    """The point so far from ``start`` on the way to ``end``."""
    d = math.dist(start, end) or 1.0
    return start[0] + (end[0] - start[0]) * by / d, start[1] + (end[1] - start[1]) * by / d


def _head(start: Point, end: Point, size: float) -> str:
    x, y = _towards(end, start, size)
    dx, dy = (end[0] - x) * 0.4, (end[1] - y) * 0.4
    return f'<path class="head" d="M{_xy(end)} L{_xy((x - dy, y + dx))} L{_xy((x + dy, y - dx))}Z"/>'
