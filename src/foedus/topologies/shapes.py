"""Graphs with a rule: ring, torus, complete, star, exponential (static and one peer at a time), hypercube.

A topology is any frozen dataclass with ``neighbours(node, nodes)``. One that changes from round to round has ``at(t)``,
the topology of round t, and ``period(nodes)``, the rounds after which it repeats; its ``neighbours`` are all that a
node ever sends to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from foedus.core.errors import BadInput
from foedus.topologies.graph import divisors


class Shape:
    """Base of the topologies here: one that never changes, and that is drawn on a circle."""

    layout = "circle"

    def at(self, t: int) -> Self:
        """The topology of round t."""
        return self

    def period(self, nodes: int) -> int:
        """Rounds after which it repeats."""
        return 1


@dataclass(frozen=True)
class Ring(Shape):
    """Everybody talks to the next and to the one before.

    >>> Ring().neighbours(0, 8)
    (1, 7)
    """

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        return _others(node, ((node + 1) % nodes, (node - 1) % nodes))


@dataclass(frozen=True)
class Torus(Shape):
    """A grid whose edges meet: everybody talks to the four around. Node r * columns + c is at row r, column c.

    ``rows`` and ``columns``: one may be left to follow from the other; with neither the grid is as square as it can be.

    >>> Torus().neighbours(0, 16)
    (1, 3, 4, 12)
    """

    rows: int | None = None
    columns: int | None = None
    layout = "grid"

    def shape(self, nodes: int) -> tuple[int, int]:
        """``(rows, columns)``. Errors: ``BadInput`` if so many nodes make no such grid."""
        r, c = self.rows, self.columns
        if any(side is not None and side < 2 for side in (r, c)):
            raise BadInput(f"a torus has at least two rows and two columns, got {self!r}")
        fits = divisors(nodes)
        if r is None and c is None and fits:
            return fits[-1]
        if r is None and c is not None and nodes % c == 0:
            r = nodes // c
        elif c is None and r is not None and nodes % r == 0:
            c = nodes // r
        if r is not None and c is not None and r * c == nodes and r > 1 and c > 1:
            return r, c
        near = [n for n in range(max(4, nodes - 8), nodes + 9) if divisors(n) and n != nodes]
        near = sorted(sorted(near, key=lambda n: abs(n - nodes))[:3])
        also = " or ".join(f"{a} x {b}" for a, b in fits) or (
            "nothing: use Ring(), or " + ", ".join(f"{n} = {divisors(n)[-1][0]} x {divisors(n)[-1][1]}" for n in near)
        )
        asked = " x ".join("?" if side is None else str(side) for side in (self.rows, self.columns))
        raise BadInput(f"{nodes} nodes make no {asked} torus; what fits {nodes} nodes is {also}")

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        rows, columns = self.shape(nodes)
        r, c = divmod(node, columns)
        around = (((r + 1) % rows, c), ((r - 1) % rows, c), (r, (c + 1) % columns), (r, (c - 1) % columns))
        return _others(node, tuple(i * columns + j for i, j in around))


@dataclass(frozen=True)
class Complete(Shape):
    """Everybody talks to everybody."""

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        return tuple(n for n in range(nodes) if n != node)


@dataclass(frozen=True)
class Star(Shape):
    """Everybody talks to one node, the hub: a server that is a node as well."""

    hub: int = 0
    layout = "star"

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        if not 0 <= self.hub < nodes:
            raise BadInput(f"the hub of a star is one of its nodes: ids are 0..{nodes - 1}, got {self.hub}")
        return tuple(n for n in range(nodes) if n != node) if node == self.hub else (self.hub,)


@dataclass(frozen=True)
class Exponential(Shape):
    """Node i sends to i + 1, i + 2, i + 4, ... (mod n): directed, log2(n) edges a node (Ying et al. 2021).

    arXiv:2110.13363. Its uniform weights are doubly stochastic, for as many send to a node as it sends to.

    >>> Exponential().neighbours(6, 8)
    (0, 2, 7)
    """

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        return _others(node, tuple((node + 2**k) % nodes for k in range(_log2(nodes))))


@dataclass(frozen=True)
class OnePeer(Shape):
    """The exponential graph, one edge a round: in round t node i sends to i + 2^(t mod ceil(log2 n)) (mod n).

    Costs one message a round, and with n = 2^k nodes everybody has the exact mean after k rounds (Ying et al. 2021,
    arXiv:2110.13363, Lemma 1). ``step`` is set by ``at``: without it ``neighbours`` are those of all rounds.

    >>> [OnePeer().at(t).neighbours(0, 8) for t in range(4)]
    [(1,), (2,), (4,), (1,)]
    """

    step: int | None = None

    def at(self, t: int) -> OnePeer:
        return replace(self, step=t)

    def period(self, nodes: int) -> int:
        return max(1, _log2(nodes))

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        if self.step is None:
            return Exponential().neighbours(node, nodes)
        return _others(node, ((node + 2 ** (self.step % self.period(nodes))) % nodes,))


@dataclass(frozen=True)
class Hypercube(Shape):
    """Nodes whose ids differ in one binary digit talk to each other; needs 2^k nodes.

    >>> Hypercube().neighbours(5, 8)
    (1, 4, 7)
    """

    layout = "cube"

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        k = _log2(nodes)
        if 2**k != nodes:
            raise BadInput(f"a hypercube has a power of two nodes: {2 ** (k - 1)} or {2**k}, not {nodes}")
        return _others(node, tuple(node ^ 2**b for b in range(k)))


def _others(node: int, found: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(found) - {node}))


def _log2(nodes: int) -> int:
    """The least k with 2^k >= nodes."""
    return (nodes - 1).bit_length()
