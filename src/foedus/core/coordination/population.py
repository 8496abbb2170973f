"""Cohorts draw from a crowd: all nodes, or those that are on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key


class TooFew(BadInput):
    """There are fewer nodes to draw from than ``needed``. If nodes come and go, it may help to wait."""

    def __init__(self, message: str, needed: int) -> None:
        super().__init__(message)
        self.needed = needed


@dataclass(frozen=True)
class Drawn:
    """How a cohort was drawn: what a privacy account has to know of it to count the sampling in a node's favour.

    ``kind``         ``"fixed size"``: so many nodes, every set of them alike. ``"poisson"``: every node on its own.
                     ``"size"``: by the nodes' rows. ``"availability"``: of those that were on.
    ``of``           how many nodes it was drawn from: the population.
    ``rate``         the probability with which a node was in it, the same for every node and independent of data; None
                     where that is not so, and nothing may be claimed.
    ``replacement``  whether a node could be drawn twice.

    It says who was asked. Who answered (of an over-selected cohort, the fast ones) is the call's to say.
    """

    kind: Literal["fixed size", "poisson", "size", "availability"]
    of: int
    rate: float | None = None
    replacement: bool = False


class Selection(tuple[int, ...]):
    """Node ids that were drawn, in ascending order: a tuple, with what a call has to know of the draw.

    ``first``  so many answers are wanted, by default all: further nodes are asked to be on the safe side. ``map`` and
               ``map_reduce`` close when the first are there, or earlier if ``until`` says so.
    ``drawn``  how it was drawn; None: it was chosen, in a way that nobody said.
    """

    first: int
    drawn: Drawn | None

    def __new__(cls, ids: Iterable[int], first: int | None = None, drawn: Drawn | None = None) -> Selection:
        made = super().__new__(cls, ids)
        made.first = len(made) if first is None else first
        made.drawn = drawn
        return made


@runtime_checkable
class Cohort(Protocol):
    """A frozen dataclass that draws node ids, in ascending order; see ``foedus.sampling``."""

    def draw(self, nodes: int, key: Key) -> tuple[int, ...]:
        """Ids among 0 .. nodes-1. Errors: ``TooFew`` (a ``BadInput``) if there are too few nodes."""
        ...


@runtime_checkable
class Looks(Protocol):
    """A cohort that looks at the nodes before it draws: at their rows, or at who is on."""

    def draw_from(self, crowd: Population, key: Key) -> tuple[int, ...]:
        """Some of ``crowd.ids``, ascending. Errors: ``TooFew``."""
        ...


@dataclass(frozen=True)
class Population:
    """Nodes to draw from: ``ids``, ascending. ``sizes()`` are the rows of every node by id, ``who_is_on()`` ids."""

    ids: Sequence[int]
    sizes: Callable[[], Sequence[int]]
    who_is_on: Callable[[], Sequence[int]]

    def on(self) -> Population:
        """Those that are on now. Asked of all nodes, not of a part."""
        return replace(self, ids=self.who_is_on())

    def pick(self, how: Cohort, key: Key) -> tuple[int, ...]:
        """A cohort of these nodes. A cohort that does not look at them draws places in ``ids``."""
        if isinstance(how, Looks):
            return how.draw_from(self, key)
        drawn = how.draw(len(self.ids), key)
        if isinstance(self.ids, range):  # all nodes: places are ids
            return drawn
        ids = tuple(self.ids[place] for place in drawn)
        return Selection(ids, drawn.first, drawn.drawn) if isinstance(drawn, Selection) else ids
