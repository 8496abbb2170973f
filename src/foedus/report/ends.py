"""Ends: from where to where an estimate's 95 % interval goes.

Where a few rows err by much more than the others, Student's interval is too short, and on one side: a sample that lacks
such rows has a small mean and a small variance at once. What is done about it, with what groups of rows tell already:

- A variance that few groups make up has few degrees of freedom, by the deviations' fourth powers (Satterthwaite 1946).
- The end on the side to which the deviations are skew is further away (Johnson 1978, Modified t tests; Hall 1992,
  On the removal of skewness by transformation), by their third powers.
- Means of what is above 0 are told by their logarithm, shares of what is explained by their odds as well.
- How widely squares of errors are spread is told too small where it is large (Bonett 2006, Approximate confidence
  interval for standard deviation of nonnormal distributions): what is beyond that of normal errors counts more.

By how much the last two of these count is set so that intervals of 100 rows cover: ``benchmarks/coverage.py``.

Legend: G groups of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist

import numpy as np

from foedus.core.types.cells import GROUPS

LEVEL = 0.95
"""Of all intervals."""

SHARE, POSITIVE, ROOT, EXPLAINED, PLAIN = "share", "positive", "root", "explained", "plain"
"""What values there can be: between 0 and 1; means of what is above 0; roots of such means; at most 1, the share of a
spread that is explained; or any. Intervals stay inside."""

STRETCH = 1.5
"""How often the skewness counts: that of the few largest errors which a sample happens to hold falls short."""

SQUARES, ODDS = 2.0, 5.0
"""Relative variance a row of the squares of normal errors; and about that of the odds of a share explained."""

WIDER = 4.0
"""How often a variance counts that is beyond these."""

FAR = 2.0
"""Of something above 0 that could be more than so many times what was measured, nothing is told."""


@dataclass(frozen=True)
class Estimate:
    """A value, a mean over seeds, with what is known of its variance.

    ``deviations``  (G,) of it, for the rows' sake; 0 where these are not known.
    ``trained``     for training's sake, of each mean over seeds in it: a variance and its degrees of freedom.
    ``size``        rows that it rests on, of one seed.
    ``of_a_seed``   variance for the rows' sake of one seed's value, by default the estimate's. It is more where seeds
                    were judged on different rows.
    """

    value: float
    deviations: np.ndarray
    trained: Sequence[tuple[float, float]]
    size: float
    of_a_seed: float | None = None

    @cached_property
    def of_rows(self) -> float:
        """Variance for the rows' sake."""
        return square(self.deviations)

    @property
    def variance(self) -> float:
        """All of it."""
        return self.of_rows + math.fsum(v for v, _ in self.trained)

    @property
    def t(self) -> float:
        """Student's quantile, of a variance that as many groups tell as there are."""
        return self._quantile(_df_of_groups(self.size))

    @cached_property
    def t_of_tail(self) -> float:
        """The same of a variance that fewer groups make up, if so it is."""
        few = float(np.sum(self.deviations**4)) / self.of_rows**2 if self.of_rows > 0 else 0.0
        return self._quantile(1 / (1 / max(1.0, self.size - 1) + max(few - 1 / GROUPS, 1e-9) / 2))

    @cached_property
    def bend(self) -> float:
        """By how many standard errors the end above is further away, or if it is negative that below."""
        if self.variance <= 0:
            return 0.0
        skewness = float(np.sum(self.deviations**3)) / (self.variance * math.sqrt(self.variance))
        return STRETCH * skewness * (2 * self.t_of_tail * self.t_of_tail + 1) / 6

    def error(self, scale: float = 1.0, usual: float = math.inf) -> float:
        """The standard error on a scale that is so many times as fine. What the relative variance of a row is beyond
        the ``usual`` counts ``WIDER`` times.
        """
        a_row = (self.of_rows if self.of_a_seed is None else self.of_a_seed) * self.size * scale * scale
        beyond = max(0.0, a_row - usual) / a_row if 0 < a_row < math.inf else 0.0
        return scale * math.sqrt(self.variance + (WIDER - 1) * beyond * self.of_rows)

    def _quantile(self, df_of_rows: float) -> float:
        return t_quantile((1 + LEVEL) / 2, _satterthwaite([(self.of_rows, df_of_rows), *self.trained]))


@dataclass(frozen=True)
class Ends:
    """Both ends; ``told``: whether they say something of the value."""

    low: float
    high: float
    told: bool = True


def ends(e: Estimate, bounds: str) -> Ends:
    """The ends of an estimate's interval, inside the bounds of what it is an estimate of."""
    if bounds == SHARE and 0 <= e.value <= 1:
        return _of_share(e)
    if e.variance <= 0:
        return Ends(e.value, e.value)
    if bounds in (POSITIVE, ROOT) and e.value > 0:
        return _above_zero(e, 2.0 if bounds == ROOT else 1.0)
    return _explained(e) if bounds == EXPLAINED and e.value < 1 else _plain(e)


def _plain(e: Estimate) -> Ends:
    below, above = (e.error() * (e.t_of_tail + max(0.0, bend)) for bend in (-e.bend, e.bend))
    return Ends(e.value - below, e.value + above)


def _above_zero(e: Estimate, power: float) -> Ends:
    """By the logarithm of the mean, which the value is the root of: it takes off as much of the skewness as a mean has
    whose size and spread grow together.
    """
    t, scale = e.t_of_tail, power / e.value
    taken_off = e.error(scale) * t * t / 2
    below = e.error(scale) * (e.t + max(0.0, -e.bend))
    above = e.error(scale, usual=SQUARES) * (t + max(0.0, e.bend - taken_off))
    low, high = e.value * math.exp(-below / power), e.value * math.exp(min(above / power, _MOST))
    return Ends(low, high, high <= FAR * e.value)


_MOST = 500.0
"""The largest logarithm of an end by its value: beyond, a float is infinite."""


def _explained(e: Estimate) -> Ends:
    """Below, as far as the odds of what is explained go, which know that no less than nothing is left: a heavy tail of
    the errors makes what is explained less, never more.
    """
    plain = _plain(e)
    high = min(1.0, plain.high)
    if e.value <= 0:
        return Ends(plain.low, high)
    down = e.error(1 / (e.value * (1 - e.value)), usual=ODDS) * (e.t_of_tail + max(0.0, -e.bend))
    odds = e.value / (1 - e.value) * math.exp(-min(down, _MOST))
    return Ends(min(plain.low, odds / (1 + odds)), high, down <= math.log(FAR**2))


def _of_share(e: Estimate) -> Ends:
    """Wilson's (1927) interval for a share of as many rows as would give it this variance; near 0 and 1 it stays wide,
    where the variance that was seen says nothing.
    """
    p, seen, t = e.value, e.value * (1 - e.value), e.t
    rows = max(seen / e.variance, 1e-9) if e.variance > 0 and seen > 0 else e.size
    if not math.isfinite(rows):
        return Ends(p, p)
    middle = (p + t * t / (2 * rows)) / (1 + t * t / rows)
    wide = t / (1 + t * t / rows) * math.sqrt(seen / rows + t * t / (4 * rows * rows))
    return Ends(max(0.0, min(p, middle - wide)), min(1.0, max(p, middle + wide)))


def square(deviations_G: np.ndarray) -> float:
    """The variance that deviations tell."""
    return float(np.sum(np.square(deviations_G)))


def _df_of_groups(size: float) -> float:
    """Degrees of freedom of a variance that so many rows tell, by way of groups."""
    return 1 / (1 / max(1.0, size - 1) + 1 / GROUPS)


def _satterthwaite(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances, each with its own (Satterthwaite 1946); of none those of the first."""
    total = sum(v for v, _ in parts)
    if total <= 0:
        return parts[0][1]
    rest = sum(v * v / max(1.0, df) for v, df in parts if v > 0)
    return max(1.0, total * total / rest) if rest > 0 else math.inf


@lru_cache
def t_quantile(p: float, df: float) -> float:
    """The quantile of Student's t distribution for 0.5 <= p < 1 and ``df`` >= 1, to 6 digits.

    >>> round(t_quantile(0.975, 1.0), 3), round(t_quantile(0.975, 4.0), 4), round(t_quantile(0.975, math.inf), 4)
    (12.706, 2.7764, 1.96)
    """
    z = NormalDist().inv_cdf(p)
    if df > _LARGE:  # Abramowitz and Stegun 1964, 26.7.5
        g1, g2 = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
        return z + g1 / df + g2 / df**2 + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384 / df**3
    # With t = sqrt(df) tan(a), P(T > t) is the integral of cos^(df - 1) beyond a, over that from 0, halved.
    low, high = 0.0, math.pi / 2
    whole = _cosines(0.0, df)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _cosines(middle, df) > 2 * (1 - p) * whole else (low, middle)
    return math.sqrt(df) * math.tan(low)


_LARGE = 60.0
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def _cosines(start: float, df: float) -> float:
    """The integral of cos^(df - 1) from ``start`` to pi / 2, by Gauss and Legendre's rule."""
    half = (math.pi / 2 - start) / 2
    return half * float(_WEIGHTS @ np.cos(start + half * (1 + _POINTS)) ** (df - 1))
