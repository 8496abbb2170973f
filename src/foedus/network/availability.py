"""Availability: when nodes are on, drawn from keys. The same whatever is asked, and in whatever order."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foedus.core.errors import BadInput
from foedus.core.time.cost import Spell
from foedus.core.types.keys import Key
from foedus.network.checks import is_number, positive


@dataclass(frozen=True)
class OnOff:
    """Nodes go on and off at random: exponential spells with these means in seconds, every node on its own.

    From the start of the run on a node is on with probability ``mean_on / (mean_on + mean_off)``: the two-state Markov
    process in its stationary state. Errors: ``BadInput`` for a mean that is not a positive, finite number.

    >>> OnOff(mean_on=600, mean_off=1800).share
    0.25
    """

    mean_on: float
    mean_off: float

    def __post_init__(self) -> None:
        for name, mean in (("mean_on", self.mean_on), ("mean_off", self.mean_off)):
            positive(f"OnOff.{name}", mean, "seconds")

    @property
    def share(self) -> float:
        """The share of time that a node is on."""
        return self.mean_on / (self.mean_on + self.mean_off)

    def spell(self, node: int, when: float, key: Key, known: Spell | None = None) -> Spell:
        """The spell at ``when``, counted up from ``known`` or from the start."""
        # Exponential spells have no memory: what is left of the one under way at the start is as long as a whole one.
        spell = known if known is not None else self._next(key, not key.child("first").uniform() < self.share, 0.0, 0)
        while spell.end <= when:
            spell = self._next(key, spell.on, spell.end, spell.number + 1)
        return spell

    def _next(self, key: Key, was_on: bool, start: float, number: int) -> Spell:
        mean = self.mean_off if was_on else self.mean_on
        end = start + mean * key.child(number).exponential()
        return Spell(not was_on, max(end, math.nextafter(start, math.inf)), number)


@dataclass(frozen=True)
class DayNight:
    """Every node is on for a share of every day, such as phones that take part while they charge at night.

    ``period``  seconds of a day.   ``share``  of the day that a node is on, in (0, 1).
    ``spread``  nodes' days begin at times spread uniformly over this share of the period, drawn once per node: 0 for
    one time zone, 1 for all around the world. The run begins when the first of them come on.
    Errors: ``BadInput`` for values outside these ranges.

    >>> nights = DayNight(share=0.25, spread=0.0)
    >>> nights.spell(0, 0.0, Key(0)), nights.spell(0, 21600.0, Key(0))
    (Spell(on=True, end=21600.0, number=0), Spell(on=False, end=86400.0, number=1))
    """

    period: float = 86400.0
    share: float = 0.5
    spread: float = 1.0

    def __post_init__(self) -> None:
        positive("DayNight.period", self.period, "seconds")
        if not (is_number(self.share) and 0 < self.share < 1):
            raise BadInput(
                f"DayNight.share is {self.share!r}: the share of the period that a node is on lies between 0 and 1; "
                "for nodes that are always on use Always()"
            )
        if not (is_number(self.spread) and 0 <= self.spread <= 1):
            raise BadInput(f"DayNight.spread is {self.spread!r}: it is a share of the period, from 0 to 1")

    def spell(self, node: int, when: float, key: Key, known: Spell | None = None) -> Spell:
        """The spell at ``when``, in closed form."""
        begin = self.spread * self.period * key.child("phase").uniform() if self.spread else 0.0
        day = math.floor((when - begin) / self.period)
        # The quotient may be rounded across a boundary; the boundaries themselves are always the same numbers.
        while begin + day * self.period > when:
            day -= 1
        while begin + (day + 1) * self.period <= when:
            day += 1
        dusk = begin + (day + self.share) * self.period
        if when < dusk:
            return Spell(True, dusk, 2 * day)
        return Spell(False, begin + (day + 1) * self.period, 2 * day + 1)
