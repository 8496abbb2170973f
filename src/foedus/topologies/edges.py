"""A graph from an edge list: your own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from foedus.core.errors import BadInput
from foedus.topologies.drawn import both_ways
from foedus.topologies.shapes import Shape


@dataclass(frozen=True)
class Edges(Shape):
    """The graph with these edges; each goes both ways, unless ``directed``, where ``(i, j)`` lets i send to j.

    >>> Edges([(0, 1), (1, 2)]).neighbours(1, 3)
    (0, 2)
    >>> Edges([(0, 1), (1, 2), (2, 0)], directed=True).neighbours(1, 3)
    (2,)
    """

    edges: tuple[tuple[int, int], ...]
    directed: bool = False
    layout = "spring"

    def __post_init__(self) -> None:
        pairs = []
        for e in self.edges:
            if (
                not (isinstance(e, (tuple, list)) and len(e) == 2 and all(isinstance(i, int) and i >= 0 for i in e))
                or e[0] == e[1]
            ):
                raise BadInput(f"an edge is a pair of different node ids, such as (0, 1); got {e!r}")
            pairs.append((e[0], e[1]))
        object.__setattr__(self, "edges", tuple(pairs))

    @staticmethod
    def read(path: str | Path, directed: bool = False) -> Edges:
        """The edges in a text file: two ids a line, separated by blanks or a comma; ``#`` begins a comment."""
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except OSError as e:
            raise BadInput(f"the edge list {path} cannot be read: {e.strerror or e}") from e
        edges = []
        for number, line in enumerate(lines, 1):
            words = line.split("#")[0].replace(",", " ").split()
            if not words:
                continue
            if len(words) != 2 or not all(w.isdecimal() for w in words):
                raise BadInput(f"{path}, line {number}: expected two node ids, such as '0 1'; got {line.strip()!r}")
            edges.append((int(words[0]), int(words[1])))
        return Edges(tuple(edges), directed)

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        return _neighbours(self, nodes)[node]


@lru_cache(maxsize=64)
def _neighbours(topology: Edges, nodes: int) -> tuple[tuple[int, ...], ...]:
    outside = [e for e in topology.edges if max(e) >= nodes]
    if outside:
        raise BadInput(f"the edge {outside[0]} names a node that is not there: ids are 0..{nodes - 1}")
    if not topology.directed:
        return both_ways(topology.edges, nodes)
    rows: list[set[int]] = [set() for _ in range(nodes)]
    for i, j in topology.edges:
        rows[i].add(j)
    return tuple(tuple(sorted(row)) for row in rows)
