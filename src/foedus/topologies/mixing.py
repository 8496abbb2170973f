"""Mixing: the matrix of every round of a run, from a topology, weights and who is away. Checked before it runs.

Legend: W (n, n) float64, W_ij the weight of node j's value at node i.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor

from foedus.core.coordination.peer import Topology
from foedus.core.errors import BadInput
from foedus.core.types.several import several
from foedus.topologies.absences import Absence, away, events
from foedus.topologies.graph import Graph, graph_of, require_connected
from foedus.topologies.weights import Metropolis, Rows, Uniform, Weights, require_columns, require_rows

LARGEST = 2000
"""Nodes up to which eigenvalues are computed: the matrix is dense, and the time grows with the cube."""


@dataclass(frozen=True)
class Mixing:
    """Who mixes what in each round. Everybody who holds the same one knows the same matrices.

    >>> from foedus.topologies import Ring
    >>> Mixing(Ring(), 8).row(0, t=5)
    {0: 0.3333333333333333, 1: 0.3333333333333333, 7: 0.3333333333333333}
    """

    topology: Topology
    nodes: int
    weights: Weights = Metropolis()
    absences: tuple[Absence, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "absences", several(self.absences))
        for a in self.absences:
            if not isinstance(a, Absence):
                raise BadInput(f"absences takes absences such as Absence(node=0, start=5), got {a!r}")

    @cached_property
    def period(self) -> int:
        """Rounds after which the graph repeats."""
        return int(self.topology.period(self.nodes)) if hasattr(self.topology, "period") else 1

    @cached_property
    def whole(self) -> Graph:
        """All edges of all rounds, with everybody there."""
        return graph_of(self.topology, self.nodes)

    @cached_property
    def events(self) -> tuple[int, ...]:
        """Rounds in which somebody leaves or comes back."""
        return events(self.absences)

    @cached_property
    def _known(self) -> dict[Any, tuple[Graph, Rows]]:
        return {}

    def away(self, t: int) -> frozenset[int]:
        """Who is away in round t."""
        return away(self.absences, t) if self.absences else frozenset()

    def _at(self, t: int) -> tuple[Graph, Rows]:
        key = t % self.period, self.away(t)
        if key not in self._known:
            now = self.topology.at(key[0]) if hasattr(self.topology, "at") else self.topology
            self._known[key] = _resolve(now, self.nodes, self.weights, key[1])
        return self._known[key]

    def graph(self, t: int) -> Graph:
        """Who sends to whom in round t."""
        return self._at(t)[0]

    def row(self, node: int, t: int) -> Mapping[int, float]:
        """What a node takes of whom in round t, by ascending id, itself included; all of itself while it is away."""
        return self._at(t)[1][node]

    def matrix(self, t: int = 0) -> Tensor:
        """W of round t."""
        return dense(self._at(t)[1])

    def check(self, *, doubly: bool = True) -> None:
        """Errors: ``BadInput`` unless mixing leads to agreement, and keeps the mean (``doubly``) in every round."""
        self.check_graph()
        for start in sorted({0, *self.events}):
            for t in range(start, start + self.period):
                graph, rows = self._at(t)
                there = f"{_name(self.weights)} on {_name(self.topology)} with {self.nodes} nodes"
                if self.away(t):
                    there += f", of which {sorted(self.away(t))} are away in round {t},"
                if doubly:
                    require_rows(rows, there)
                require_columns(
                    rows,
                    there,
                    "Use PushSum, which needs no such weights, or make every edge go both ways"
                    if graph.directed
                    else "Use Metropolis() weights, which keep it on every undirected graph"
                    if isinstance(self.weights, Uniform)
                    else "Make the matrix symmetric, or its columns sum to 1",
                )

    def check_graph(self) -> None:
        """Errors: ``BadInput`` unless all can hear of all, and in every round somebody is there."""
        for a in self.absences:
            if not 0 <= a.node < self.nodes:
                raise BadInput(f"{a!r} is of a node that is not there: ids are 0..{self.nodes - 1}")
        advice = getattr(self.topology, "advice", None)
        require_connected(
            self.whole,
            _name(self.topology),
            advice(self.nodes) if advice is not None else "Add edges between them, or leave nodes out",
        )
        for start in sorted({0, *self.events}):
            if len(self.away(start)) == self.nodes:
                raise BadInput(f"in round {start} every node is away: at least one has to stay")


@lru_cache(maxsize=256)
def _resolve(topology: Topology, nodes: int, weights: Weights, gone: frozenset[int]) -> tuple[Graph, Rows]:
    graph = graph_of(topology, nodes).without(gone)
    return graph, weights.rows(graph)


def dense(rows: Rows) -> Tensor:
    """The matrix (n, n) float64 of its rows."""
    W = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for i, row in enumerate(rows):
        W[i, list(row)] = torch.tensor(list(row.values()), dtype=torch.float64)
    return W


def mixing_matrix(topology: Topology, nodes: int, weights: Weights | None = None, t: int = 0) -> Tensor:
    """W (n, n) float64 of round t. ``weights``: ``Metropolis()`` by default.

    >>> from foedus.topologies import Complete
    >>> mixing_matrix(Complete(), 2)
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]], dtype=torch.float64)
    """
    return Mixing(topology, nodes, weights if weights is not None else Metropolis()).matrix(t)


def second_eigenvalue(W: Tensor) -> float:
    """|lambda_2|, the modulus of the second largest eigenvalue: what disagreement shrinks by a step in the long run."""
    if len(W) == 1:
        return 0.0
    eigenvalues = torch.linalg.eigvalsh(W) if torch.equal(W, W.T) else torch.linalg.eigvals(W)
    second = float(eigenvalues.abs().sort(descending=True).values[1])
    return 0.0 if second < 1e-12 else min(1.0, second)


def spectral_gap(W: Tensor) -> float:
    """1 - |lambda_2|: the larger, the faster nodes come to agree; 0 where they never do.

    >>> from foedus.topologies import Ring
    >>> round(spectral_gap(mixing_matrix(Ring(), 8)), 10)
    0.1952621459
    """
    return 1.0 - second_eigenvalue(W)


def coupling(W: Tensor) -> tuple[float, float]:
    """``(rho, beta)``: 1 - ||W - 11^T/n||, by how much disagreement shrinks at least in every single step, and
    ||I - W||, how far a step moves anybody; spectral norms. With a symmetric W rho is the spectral gap.

    >>> from foedus.topologies import Ring
    >>> [round(x, 4) for x in coupling(mixing_matrix(Ring(), 8))]
    [0.1953, 1.3333]
    """
    eye, mean = torch.eye(len(W), dtype=W.dtype), torch.full_like(W, 1 / len(W))
    rho = 1.0 - float(torch.linalg.matrix_norm(W - mean, 2))
    return (0.0 if rho < 1e-12 else rho), float(torch.linalg.matrix_norm(eye - W, 2))


def rate(topology: Topology, nodes: int, weights: Weights | None = None) -> float:
    """|lambda_2| a step: of a topology that changes, the geometric mean over its period."""
    return _rate(Mixing(topology, nodes, weights if weights is not None else Metropolis()))


def _rate(mixing: Mixing) -> float:
    product = torch.eye(mixing.nodes, dtype=torch.float64)
    for t in range(mixing.period):
        product = mixing.matrix(t) @ product
    return float(second_eigenvalue(product) ** (1 / mixing.period))


def mix(row: Mapping[int, float], vectors: Mapping[int, Tensor]) -> Tensor:
    """sum_j W_ij x_j in the order of ids, summed in float64 and rounded once: nodes that agree stay in agreement."""
    ids = iter(row.items())
    j, weight = next(ids)
    acc = vectors[j].to(torch.float64)
    acc = acc.mul_(weight) if acc is not vectors[j] else acc * weight
    for j, weight in ids:
        acc.add_(vectors[j], alpha=weight)
    return acc.to(vectors[j].dtype)


def describe(topology: Topology, nodes: int, weights: Weights | None = None) -> str:
    """One line about a graph before a run: its size, its degrees and its spectral gap.

    >>> from foedus.topologies import Ring
    >>> describe(Ring(), 8)
    'Ring() of 8 nodes: 8 edges, degree 2, spectral gap 0.1953 (disagreement shrinks to 0.8047 of itself a step)'
    """
    mixing = Mixing(topology, nodes, weights if weights is not None else Metropolis())
    graph, steps = mixing.whole, mixing.period
    degrees = [len(row) for row in mixing.graph(0).out]
    span = f"{min(degrees)}" if min(degrees) == max(degrees) else f"{min(degrees)} to {max(degrees)}"
    edges = len(graph.edges)
    kind = f"{'directed edge' if graph.directed else 'edge'}{'s' if edges != 1 else ''}"
    line = f"{_name(topology)} of {nodes} node{'s' if nodes != 1 else ''}: {edges} {kind}"
    line += f" in {steps} graphs by turns" if steps > 1 else ""
    line += f", {'out-degree' if graph.directed else 'degree'} {span}, spectral gap"
    if nodes > LARGEST:
        return f"{line} not computed (more than {LARGEST} nodes)"
    lam = _rate(mixing)
    if lam == 0.0:
        return f"{line} 1 (exact agreement after {'one step' if steps == 1 else f'{steps} steps'})"
    return f"{line} {1 - lam:.4f} (disagreement shrinks to {lam:.4f} of itself a step)"


def _name(thing: Any) -> str:
    """The constructor call, without the defaults."""
    if not is_dataclass(thing):
        return repr(thing)
    given = [
        f"{f.name}={value!r}"
        for f in fields(thing)
        if (value := getattr(thing, f.name)) != f.default
    ]  # fmt: skip
    text = f"{type(thing).__name__}({', '.join(given)})"
    return text if len(text) <= 60 else f"{type(thing).__name__}(...)"
