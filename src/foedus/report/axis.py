"""Axes: where a value lies between 0 and 1, and which values deserve a tick."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from foedus.report.units import even

_DECADES = range(-12, 19)
# From coarse to fine; the finest that does not crowd is taken.
_LADDERS: tuple[tuple[float, ...], ...] = (
    tuple(10.0**k for k in _DECADES if k % 3 == 0),
    tuple(10.0**k for k in _DECADES),
    tuple(m * 10.0**k for k in _DECADES for m in (1, 3)),
    tuple(m * 10.0**k for k in _DECADES for m in (1, 2, 5)),
)
_PLOT, _CHAR, _SPACE = 190.0, 5.8, 6.0
"""A chart's narrowest plot, the width of a letter below it, and what is left free between two texts."""
_M, _H, _D = 60.0, 3600.0, 86400.0
_SHORT = tuple(10.0**k for k in range(-9, 0))
_CLOCKS: tuple[tuple[float, ...], ...] = (
    (*_SHORT[::3], 1.0, _M, _H, _D, 30 * _D, 1000 * _D),
    (*_SHORT, 1.0, 10.0, _M, 10 * _M, _H, 10 * _H, 4 * _D, 40 * _D, 400 * _D, 4000 * _D),
    (
        *(m * t for t in _SHORT for m in (1, 2, 5)),
        *(1.0, 2.0, 5.0, 10.0, 20.0, 30.0, _M, 2 * _M, 5 * _M, 10 * _M, 20 * _M, 30 * _M),
        *(_H, 2 * _H, 5 * _H, 10 * _H, _D, 2 * _D, 5 * _D, 10 * _D, 20 * _D, 50 * _D, 100 * _D),
    ),
)


@dataclass(frozen=True)
class Axis:
    """From ``low`` to ``high`` (low < high; both > 0 if ``log``), with ticks and how to write them."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]
    text: Callable[[float], str]

    @property
    def texts(self) -> tuple[str, ...]:
        """What stands at the ticks: on a linear axis all with as many decimals."""
        made = tuple(map(self.text, self.ticks))
        return made if self.log else even(made)

    def at(self, value: float) -> float:
        """Where the value lies: 0 at ``low``, 1 at ``high``."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)


def log_axis(values: Sequence[float], text: Callable[[float], str], *, clock: bool = False, crowd: int = 6) -> Axis:
    """A logarithmic axis over positive values (at least one); ``clock`` prefers ticks such as 10 min and 1 h.

    Of the ticks there are so many that their texts do not run into each other in a chart's narrowest plot.
    """
    low, high = min(values), max(values)
    if high <= low * 1.5:
        # One value, or nearly so: room on both sides.
        middle = math.sqrt(low * high)
        low, high = middle / 1.5, middle * 1.5
    ticks: tuple[float, ...] = ()
    for ladder in _CLOCKS if clock else _LADDERS:
        inside = tuple(t for t in ladder if low * 0.999 <= t <= high * 1.001)
        if len(ticks) < len(inside) <= crowd and _apart(Axis(low, high, True, inside, text)):
            ticks = inside
    if len(ticks) < 2:
        linear = tuple(t for t in steps(low, high, 3) if low <= t <= high)
        ticks = linear if _apart(Axis(low, high, True, linear, text)) else linear[-1:] or ticks
    return Axis(low, high, True, ticks, text)


def _apart(axis: Axis) -> bool:
    """Whether the texts of neighbouring ticks leave a gap, where they stand below a plot."""
    return all(
        (axis.at(b) - axis.at(a)) * _PLOT >= _CHAR * (len(axis.text(a)) + len(axis.text(b))) / 2 + _SPACE
        for a, b in pairwise(axis.ticks)
    )


def value_axis(values: Sequence[float], text: Callable[[float], str], *, share: bool = False) -> Axis:
    """A vertical axis over values (at least one): logarithmic if they span more than a factor 30, linear otherwise."""
    low, high = min(values), max(values)
    if not share and low > 0 and high > 30 * low:
        return log_axis(values, text)
    if high - low < 1e-9 * max(1.0, abs(high)):
        pad = 0.05 if share else max(abs(high) * 0.1, 1e-6)
        low, high = low - pad, high + pad
    ticks = steps(low, high, 5)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    if share and min(values) >= 0 and max(values) <= 1:  # what is no share, from a changed file, is shown as well
        low, high = max(0.0, low), min(1.0, high)
    return Axis(low, high, False, tuple(t for t in ticks if low - 1e-12 <= t <= high + 1e-12), text)


def steps(low: float, high: float, about: int) -> tuple[float, ...]:
    """About so many round values that enclose low to high."""
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(float(f"{k * step:.12g}") for k in range(first, last + 1))
