"""Cohorts: which nodes take part in a round. Drawing k of n nodes costs O(k)."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.core.errors import BadInput
from foedus.core.keys import Key


@dataclass(frozen=True)
class Fixed:
    """Exactly k nodes, uniformly without replacement."""

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadInput(f"a cohort needs at least one node, got Fixed({self.k})")

    def draw(self, nodes: int, key: Key) -> tuple[int, ...]:
        if self.k > nodes:
            raise BadInput(
                f"a cohort of {self.k} nodes was asked for, but there are only {nodes}: lower Fixed({self.k})"
            )
        return _without_replacement(self.k, nodes, key)


@dataclass(frozen=True)
class Fraction:
    """A share p of the nodes, at least one: max(round(p n), 1), uniformly without replacement (McMahan's C)."""

    p: float

    def __post_init__(self) -> None:
        if not 0 < self.p <= 1:
            raise BadInput(f"the fraction of nodes must lie in (0, 1], got Fraction({self.p})")

    def draw(self, nodes: int, key: Key) -> tuple[int, ...]:
        return _without_replacement(max(1, round(self.p * nodes)), nodes, key)


@dataclass(frozen=True)
class Poisson:
    """Every node on its own with probability q; a cohort may be empty. The sampling that privacy accountants assume."""

    q: float

    def __post_init__(self) -> None:
        if not 0 < self.q <= 1:
            raise BadInput(f"the sampling probability must lie in (0, 1], got Poisson({self.q})")

    def draw(self, nodes: int, key: Key) -> tuple[int, ...]:
        # The number of heads is binomial, and given the number every subset is alike: O(k) instead of n coins.
        k = int(key.child("size").numpy().binomial(nodes, self.q))
        return _without_replacement(k, nodes, key)


def _without_replacement(k: int, nodes: int, key: Key) -> tuple[int, ...]:
    if k == nodes:
        return tuple(range(nodes))
    return tuple(key.choice(nodes, k))
