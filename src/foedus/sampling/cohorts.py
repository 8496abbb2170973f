"""Cohorts: which nodes take part in a round. Drawing k of n nodes costs O(k), by size or of those that are on O(n)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from foedus.core.coordination.population import Cohort, Drawn, Population, Selection, TooFew
from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.core.types.portion import portion


@dataclass(frozen=True)
class Fixed:
    """Exactly k nodes, uniformly without replacement."""

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadInput(f"a cohort needs at least one node, got Fixed({self.k})")

    def draw(self, nodes: int, key: Key) -> tuple[int, ...]:
        _enough(self.k, nodes, self)
        return _alike(self.k, nodes, key)


@dataclass(frozen=True)
class Fraction:
    """A share p of the nodes, at least one: max(round(p n), 1), uniformly without replacement (McMahan's C)."""

    p: float

    def __post_init__(self) -> None:
        if not 0 < self.p <= 1:
            raise BadInput(f"the fraction of nodes must lie in (0, 1], got Fraction({self.p})")

    def draw(self, nodes: int, key: Key) -> tuple[int, ...]:
        _enough(1, nodes, self)
        return _alike(max(1, round(portion(self.p, nodes))), nodes, key)


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
        return Selection(_without_replacement(k, nodes, key), drawn=Drawn("poisson", nodes, self.q))


@dataclass(frozen=True)
class OverSelect:
    """Over-selection: ask ``ceil(factor k)`` nodes, uniformly without replacement, and take the first k answers.

    The others are told to stop, like stragglers beyond a quorum. The program's ``until`` may be a ``Deadline``, which
    bounds the wait; its ``failure`` says what happens when so many go off that k answers cannot come any more. Who is
    fast is taken more often: where fast nodes differ from slow ones, the model is theirs. Source: Bonawitz et al.
    (2019, arXiv:1902.01046), who ask for 130 %.
    Errors: ``BadInput`` if k is less than 1, the factor less than 1, or fewer nodes are there than are to be asked.

    >>> OverSelect(10).asked
    13
    """

    k: int
    factor: float = 1.3

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadInput(f"a cohort needs at least one node, got {self}")
        if not 1 <= self.factor < math.inf:
            raise BadInput(f"over-selection asks at least as many nodes as it needs, a factor of 1 or more; got {self}")

    @property
    def asked(self) -> int:
        """How many nodes are given the job."""
        return math.ceil(portion(self.factor, self.k))

    def draw(self, nodes: int, key: Key) -> tuple[int, ...]:
        _enough(self.asked, nodes, self)
        return _alike(self.asked, nodes, key, first=self.k)


@dataclass(frozen=True)
class BySize:
    """k different nodes, each with a probability of exactly ``k n_i / n``: in proportion to its rows.

    The rows count here already, so join the answers unweighted, ``Mean(weighted=False)``: its expectation is then the
    mean over all nodes weighted by rows. (With weights, large nodes would count twice.) A node with more than its
    share, ``k n_i >= n``, is always taken, and the others share the rest. Drawn by systematic sampling over the nodes
    in random order (Madow, 1949), without replacement: the scheme of Li et al. (2020, arXiv:1907.02189) draws with
    replacement, and has the same expectation. Errors: ``BadInput`` if k is less than 1 or more than the nodes that
    hold rows.
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadInput(f"a cohort needs at least one node, got {self}")

    def draw(self, nodes: int, key: Key) -> tuple[int, ...]:
        """A draw by ``fed.sample`` knows the rows; this one, which does not, takes all nodes to be alike."""
        _enough(self.k, nodes, self)
        return _alike(self.k, nodes, key)

    def draw_from(self, crowd: Population, key: Key) -> tuple[int, ...]:
        ids = np.asarray(crowd.ids, dtype=np.int64)
        rows = np.asarray(crowd.sizes(), dtype=np.float64)[ids]
        ids, rows = ids[rows > 0], rows[rows > 0]
        _enough(self.k, len(ids), self)
        order = key.child("order").numpy().permutation(len(ids))
        ids, rows = ids[order], rows[order]
        certain = np.zeros(len(ids), dtype=bool)
        while True:  # taking one for certain raises the share of the others
            left = self.k - int(certain.sum())
            more = ~certain & (rows * left >= rows[~certain].sum())
            if not left or not more.any():
                break
            certain |= more
        drawn = ids[certain].tolist()
        if left:
            rest, ends = ids[~certain], np.cumsum(rows[~certain])
            marks = (np.arange(left) + key.child("start").uniform()) * (ends[-1] / left)
            drawn += rest[np.minimum(np.searchsorted(ends, marks, side="right"), len(rest) - 1)].tolist()
        return Selection(sorted(drawn), drawn=Drawn("size", len(crowd.ids)))


@dataclass(frozen=True)
class Available:
    """A cohort of the nodes that are on now, drawn as ``cohort`` says: ``Available(Fixed(10))``.

    A share is then a share of those that are on. If too few are on, the program waits until there are enough. On a
    network whose nodes are always on it is the cohort itself.
    """

    cohort: Cohort

    def __post_init__(self) -> None:
        if not isinstance(self.cohort, Cohort) or isinstance(self.cohort, type):
            raise BadInput(f"Available holds a cohort, such as Available(Fixed(10)); got {self.cohort!r}")

    def draw(self, nodes: int, key: Key) -> tuple[int, ...]:
        return self.cohort.draw(nodes, key)

    def draw_from(self, crowd: Population, key: Key) -> tuple[int, ...]:
        there = crowd.on()
        if not there.ids:
            raise TooFew("no node is on", 1)
        picked = there.pick(self.cohort, key)
        first = picked.first if isinstance(picked, Selection) else None
        return Selection(picked, first, Drawn("availability", len(crowd.ids)))


def _enough(needed: int, nodes: int, cohort: Cohort) -> None:
    if needed > nodes:
        raise TooFew(f"a cohort of {needed} nodes was asked for, but there are only {nodes}: lower {cohort}", needed)


def _alike(k: int, nodes: int, key: Key, first: int | None = None) -> Selection:
    """k of the nodes, every set of k alike."""
    drawn = Drawn("fixed size", nodes, k / nodes)
    return Selection(_without_replacement(k, nodes, key), first, drawn)


def _without_replacement(k: int, nodes: int, key: Key) -> tuple[int, ...]:
    if k == nodes:
        return tuple(range(nodes))
    return tuple(key.choice(nodes, k))
