"""Mixing weights: how much a node takes of what each neighbour sends. W_ij is the weight of j's value at node i."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from foedus.core.errors import BadInput
from foedus.topologies.graph import Graph

Rows = tuple[Mapping[int, float], ...]
"""Row i of a mixing matrix: weight by node id, ascending, itself included."""

TOLERANCE = 1e-9
"""How far a sum of weights may be from 1."""


@runtime_checkable
class Weights(Protocol):
    """A frozen dataclass that turns a graph into a mixing matrix."""

    def __hash__(self) -> int: ...

    def rows(self, graph: Graph) -> Rows:
        """The matrix of a graph; a node that is away keeps what it has."""
        ...


@dataclass(frozen=True)
class Uniform:
    """A node takes 1 / (d + 1) of itself and of each of the d that send to it.

    Doubly stochastic where all nodes have the same degree; elsewhere the mean would drift.

    >>> from foedus.topologies import Star, graph_of
    >>> Uniform().rows(graph_of(Star(), 3))[0]
    {0: 0.3333333333333333, 1: 0.3333333333333333, 2: 0.3333333333333333}
    """

    def rows(self, graph: Graph) -> Rows:
        return tuple(dict.fromkeys(sorted([i, *into]), 1 / (len(into) + 1)) for i, into in enumerate(graph.into))


@dataclass(frozen=True)
class Metropolis:
    """W_ij = 1 / (1 + max(d_i, d_j)) on an edge, and the rest is the node's own (Xiao, Boyd and Lall 2005).

    Symmetric and doubly stochastic on every undirected graph, and uniform where all degrees are equal. The degree of a
    node in a directed graph is the larger of its two.

    >>> from foedus.topologies import Star, graph_of
    >>> Metropolis().rows(graph_of(Star(), 4))[3]
    {0: 0.25, 3: 0.75}
    """

    def rows(self, graph: Graph) -> Rows:
        d = [max(len(out), len(into)) for out, into in zip(graph.out, graph.into, strict=True)]
        rows = []
        for i, into in enumerate(graph.into):
            row = {j: 1 / (1 + max(d[i], d[j])) for j in into}
            # 1 - the others' sum, written so that equal degrees give exactly equal weights.
            share = 1 / (1 + d[i])
            own = math.fsum([share, *(share - w for w in row.values()), share * (d[i] - len(into))])
            rows.append(dict(sorted([*row.items(), (i, own)])))
        return tuple(rows)


@dataclass(frozen=True)
class Push:
    """A node divides what it has evenly among itself and those it sends to: W_ij = 1 / (1 + out-degree of j).

    Column stochastic on every graph; what push-sum needs (Kempe, Dobra and Gehrke 2003).
    """

    def rows(self, graph: Graph) -> Rows:
        share = [1 / (1 + len(out)) for out in graph.out]
        return tuple(dict(sorted([(i, share[i]), *((j, share[j]) for j in into)])) for i, into in enumerate(graph.into))


@dataclass(frozen=True)
class Matrix:
    """A matrix of your own, row by row; ``values[i][j]`` is the weight of j's value at node i.

    What nodes that are away would have sent a node counts as its own value.
    """

    values: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        rows = tuple(tuple(float(v) for v in row) for row in self.values)
        object.__setattr__(self, "values", rows)
        for i, row in enumerate(rows):
            if len(row) != len(rows):
                raise BadInput(f"a mixing matrix is square: of its {len(rows)} rows, row {i} has {len(row)} numbers")
            for j, v in enumerate(row):
                if not math.isfinite(v) or v < 0:
                    raise BadInput(f"mixing weights are numbers of at least 0; row {i}, column {j} is {v}")

    def rows(self, graph: Graph) -> Rows:
        if len(self.values) != graph.nodes:
            raise BadInput(f"the mixing matrix is for {len(self.values)} nodes, but there are {graph.nodes}")
        rows = []
        for i, row in enumerate(self.values):
            weights = {j: v for j, v in enumerate(row) if v and j != i}
            absent = graph.away if i not in graph.away else frozenset(weights)
            strangers = [j for j in weights if j not in graph.into[i] and j not in absent]
            if strangers:
                raise BadInput(
                    f"the mixing matrix gives node {i} the weight {row[strangers[0]]} for node {strangers[0]}, which "
                    "does not send to it: give the topology that edge, or the weight 0"
                )
            own = row[i] + sum(weights.pop(j) for j in list(weights) if j in absent)
            rows.append(dict(sorted([*weights.items(), (i, own)])))
        return tuple(rows)


def require_rows(rows: Rows, name: str) -> None:
    """Errors: ``BadInput`` unless every row sums to 1: nodes that agree would not stay in agreement."""
    for i, row in enumerate(rows):
        total = math.fsum(row.values())
        if abs(total - 1) > TOLERANCE:
            raise BadInput(
                f"{name} is not stochastic: row {i} sums to {total:.6g}, not 1; what a node takes must sum to 1"
            )


def require_columns(rows: Rows, name: str, advice: str) -> None:
    """Errors: ``BadInput`` unless every column sums to 1: the mean of all nodes would change by mixing."""
    columns: list[list[float]] = [[] for _ in rows]
    for row in rows:
        for j, v in row.items():
            columns[j].append(v)
    for j, column in enumerate(columns):
        total = math.fsum(column)
        if abs(total - 1) > TOLERANCE:
            raise BadInput(
                f"{name} is not doubly stochastic: column {j} sums to {total:.6g}, not 1, so the mean of all nodes "
                f"would not stay what it is. {advice}"
            )
