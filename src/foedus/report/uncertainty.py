"""Uncertainty: intervals of values and of differences, and what they cover; nothing inside one is claimed.

A run brings a value of each metric at its judged point, and how much each group of the rows that it was judged on moves
that value (``core/records/judged.py``). A row is in the same group wherever it is judged, so that differences between
programs, judged on the same rows, are paired, and so are seeds, as far as their judged rows are the same.

Legend: K seeds, G groups of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from foedus.core.records.judged import Measured
from foedus.core.records.run import Run
from foedus.core.types.cells import GROUPS
from foedus.core.types.metric import named
from foedus.report.units import percent, three_digits

LEVEL = 0.95
"""Of all intervals."""

SHARE, POSITIVE, PLAIN = "share", "positive", "plain"
"""What values there can be: between 0 and 1, above 0, or any. Intervals stay inside."""

FEW_ROWS, FEW_OF_A_CLASS = 30, 10
"""Fewer rows than these, or fewer of a class, are too few to tell."""

TOO_FEW = "too few rows to tell"

ROWS = "which rows happen to be judged"
TRAINING = "how training went"


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval, both in the metric's own unit.

    ``covers``  what varies inside it, in words: "over which rows happen to be judged and how training went; not over
                other data".
    ``few``     ``TOO_FEW`` where the rows are so few that it had better not be read; else empty.
    """

    value: float
    low: float
    high: float
    covers: str
    few: str = ""

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Difference(Interval):
    """The first minus the second, paired by row and seed, with its 95 % interval."""

    @property
    def told(self) -> bool:
        """Whether there is a difference that may be claimed: one of which 0 lies outside the interval."""
        return not self.few and 0.0 not in self


@dataclass(frozen=True)
class Sampled:
    """What one run says of a metric.

    ``value``       at its judged point.
    ``deviations``  (G,) of it for the rows' sake; None where these are not known.
    ``size``        rows that it rests on: for a value that compares classes, twice those of the rarest.
    """

    value: float
    deviations: np.ndarray | None = None
    size: float = math.inf


@dataclass(frozen=True)
class _Estimate:
    """A mean over seeds: its variance, that variance's degrees of freedom, the rows that it rests on."""

    value: float
    variance: float
    df: float
    size: float
    seeds: int
    rows: bool


def interval(runs: Sequence[Run], metric: str, bounds: str | None = None) -> Interval | None:
    """The mean over the runs of one setting (one a seed) at their judged points; None where nothing tells its spread.

    ``bounds`` is one of ``SHARE``, ``POSITIVE`` and ``PLAIN``; by default it goes by the metric's name.
    """
    return of_mean(_all_sampled(runs, metric), bounds_of(metric) if bounds is None else bounds, _few(runs, metric))


def difference(a: Sequence[Run], b: Sequence[Run], metric: str) -> Difference | None:
    """How much larger the mean over the runs ``a`` is than that over ``b``; None where nothing tells its spread.

    Runs of the same seed are paired where every seed has one in both.
    """
    ours, theirs = ({run.seed: s for run in runs if (s := sampled(run, metric)) is not None} for runs in (a, b))
    few = _few([*a, *b], metric)
    if len(ours) == len(a) and len(theirs) == len(b) and set(ours) == set(theirs):
        return of_pairs([(ours[seed], theirs[seed]) for seed in sorted(ours)], few)
    return of_two_means(_all_sampled(a, metric), _all_sampled(b, metric), few)


def worse_at_the_end(run: Run, metric: str, higher: bool) -> Difference | None:
    """How much the last round lost of what the judged one had, if that may be claimed: the run has overfitted.

    Both are measured on rows on which the judged round was not chosen, and paired by row.
    """
    j = run.judged
    if j is None or j.how == "last" or metric not in j.here.values or metric not in j.last.values:
        return None
    found = of_pairs([(_sampled(run, j.here, metric), _sampled(run, j.last, metric))], _few([run], metric))
    return found if found is not None and found.told and (found.value > 0) == higher else None


def overfitted(run: Run) -> str | None:
    """That a run has overfitted, where that can be told by the metric that chose its judged round."""
    j = run.judged
    if j is None:
        return None
    m = named(j.by)
    d = worse_at_the_end(run, m.name, m.higher)
    if d is None:
        return None
    amount = percent if m.form == "share" else three_digits
    before, after = (amount(x.values[m.name]) for x in (j.here, j.last))
    by, low, high = (_points(v, m.form) for v in (abs(d.value), *sorted((abs(d.low), abs(d.high)))))
    rounds = f"round{'s' if len(j.rounds) > 1 else ''} {' and '.join(f'{t:,}' for t in j.rounds)}"
    return (
        f"overfitted: {m.label} went from {before} in {rounds} to {after} in the last (by {by}, 95 % interval {low} to "
        f"{high}, on rows that had no say in the choice); it is judged in {rounds}"
    )


def _points(size: float, form: str) -> str:
    return f"{100 * size:.1f} points" if form == "share" else three_digits(size)


def tied(groups: Sequence[Sequence[Run]], metric: str, higher: bool) -> tuple[int, frozenset[int]] | None:
    """The best of some settings, and all that cannot be told from it (itself among them), as positions in ``groups``.

    The interval is one for all comparisons with the best together (max-t; Hsu 1996, multiple comparisons with
    the best). None where there is no value, or nothing tells a spread.
    """
    found = [_all_sampled(runs, metric) for runs in groups]
    known = [i for i, samples in enumerate(found) if samples]
    if not known:
        return None
    sign = 1.0 if higher else -1.0
    means = {i: float(np.mean([s.value for s in found[i]])) for i in known}
    best = max(known, key=lambda i: sign * means[i])
    others = {i: difference(groups[best], groups[i], metric) for i in known if i != best}
    if any(d is None for d in others.values()):
        return None
    wider = _simultaneous([_apart(found[best], found[i]) for i in others])
    near = {i for i, d in others.items() if d is not None and (d.few or abs(d.value) <= wider * (d.high - d.value))}
    return best, frozenset({best, *near})


def sampled(run: Run, metric: str) -> Sampled | None:
    """What a run says of a metric: at its judged point, or of an older run in the last round that was evaluated."""
    if run.judged is not None and metric in run.judged.here.values:
        return _sampled(run, run.judged.here, metric)
    for record in reversed(run.history):
        value = record.measured(metric)
        if value is not None and math.isfinite(value):
            return Sampled(float(value))
    return None


def _sampled(run: Run, measured: Measured, metric: str) -> Sampled:
    """With the deviations that rows would have whose own mean was not taken off: n / (n - 1) of their squares."""
    size, deviations = size_of(run, metric), measured.deviation(metric)
    if deviations is not None and size > 1:
        deviations *= math.sqrt(size / (size - 1))
    return Sampled(measured.values[metric], deviations, size)


def _all_sampled(runs: Sequence[Run], metric: str) -> list[Sampled]:
    return [s for run in runs if (s := sampled(run, metric)) is not None]


_ANY = ("kappa", "mcc", "r2")
_ABOVE_ZERO = ("rmse", "mse", "mae", "median_absolute_error", "loss", "log_loss", "train_loss")


def bounds_of(metric: str) -> str:
    """What values a metric can have."""
    kind = named(metric).kind
    if metric in _ABOVE_ZERO:
        return POSITIVE
    return SHARE if kind and kind not in _ANY else PLAIN


def size_of(run: Run, metric: str) -> float:
    """Rows that a value rests on."""
    j = run.judged
    if j is None:
        return math.inf
    return float(min(j.rows, 2 * j.rarest) if _by_class(metric) and j.rarest is not None else j.rows)


def _by_class(metric: str) -> bool:
    """Whether a metric looks at the rows of each class by themselves: it is told by no more than the rarest tells."""
    kind = named(metric).kind
    return bounds_of(metric) != POSITIVE and kind not in ("", "accuracy", "brier", "calibration_error", "r2")


def _few(runs: Sequence[Run], metric: str) -> str:
    for j in (run.judged for run in runs):
        rarest = None if j is None or not _by_class(metric) else j.rarest
        if j is not None and (j.rows < FEW_ROWS if rarest is None else rarest < FEW_OF_A_CLASS):
            return TOO_FEW
    return ""


# -- pure statistics ---------------------------------------------------------------------------------------------------


def of_mean(samples: Sequence[Sampled], bounds: str = PLAIN, few: str = "") -> Interval | None:
    """The interval of a mean over seeds; None where neither rows nor seeds tell its spread."""
    e = _over_seeds(samples)
    if e is None:
        return None
    low, high = _ends(e, bounds)
    return Interval(e.value, low, high, _covers(e), few)


def of_pairs(pairs: Sequence[tuple[Sampled, Sampled]], few: str = "") -> Difference | None:
    """The mean over seeds of the first minus the second."""
    return _difference(_over_seeds([_minus(a, b) for a, b in pairs]), few)


def of_two_means(a: Sequence[Sampled], b: Sequence[Sampled], few: str = "") -> Difference | None:
    """The mean of ``a`` minus that of ``b`` where seeds are no pairs; rows that both were judged on still are."""
    ours, theirs = _over_seeds(a), _over_seeds(b)
    if ours is None or theirs is None or ours.rows != theirs.rows:
        return None
    of_rows = _square(_apart(a, b))
    trained = [(_trained(s) / len(s), len(s) - 1) for s in (a, b)]
    size = min(ours.size, theirs.size)
    return _difference(
        _Estimate(
            value=ours.value - theirs.value,
            variance=of_rows + sum(v for v, _ in trained),
            df=_satterthwaite([(of_rows, _df_of_rows(size)), *trained]),
            size=size,
            seeds=min(ours.seeds, theirs.seeds),
            rows=ours.rows,
        ),
        few,
    )


def _difference(e: _Estimate | None, few: str) -> Difference | None:
    if e is None:
        return None
    low, high = _ends(e, PLAIN)
    return Difference(e.value, low, high, _covers(e), few)


def _minus(a: Sampled, b: Sampled) -> Sampled:
    both = None if a.deviations is None or b.deviations is None else a.deviations - b.deviations
    return Sampled(a.value - b.value, both, min(a.size, b.size))


def _over_seeds(samples: Sequence[Sampled]) -> _Estimate | None:
    """The variance of a mean over K seeds has two parts. Rows: the sum of squares of the deviations' mean over the
    seeds, in which a row that several seeds judged is one row. Training: what seeds differ by beyond what their rows
    explain.
    """
    of_seeds = _deviations(samples)
    if not samples or (of_seeds is None and len(samples) < 2):
        return None
    of_rows = 0.0 if of_seeds is None else _square(of_seeds.mean(0))
    trained = _trained(samples) / len(samples)
    size = min(s.size for s in samples)
    return _Estimate(
        value=float(np.mean([s.value for s in samples])),
        variance=of_rows + trained,
        df=_satterthwaite([(of_rows, _df_of_rows(size)), (trained, len(samples) - 1)]),
        size=size,
        seeds=len(samples),
        rows=of_seeds is not None,
    )


def _trained(samples: Sequence[Sampled]) -> float:
    """Variance over seeds of one seed's value, less what other rows would do to it; 0 for a single seed."""
    if len(samples) < 2:
        return 0.0
    between = float(np.var([s.value for s in samples], ddof=1))
    of_seeds = _deviations(samples)
    return between if of_seeds is None else max(0.0, between - float(of_seeds.var(0, ddof=1).sum()))


def _deviations(samples: Sequence[Sampled]) -> np.ndarray | None:
    """(K, G); None if those of one are not known, or there are none."""
    known = [s.deviations for s in samples if s.deviations is not None]
    return np.stack(known) if known and len(known) == len(samples) else None


def _apart(a: Sequence[Sampled], b: Sequence[Sampled]) -> np.ndarray:
    """Deviations (G,) of the difference of two means; 0 where they are not known."""
    ours, theirs = _deviations(a), _deviations(b)
    return np.zeros(1) if ours is None or theirs is None else ours.mean(0) - theirs.mean(0)


def _square(deviations_G: np.ndarray) -> float:
    return float(np.sum(np.square(deviations_G)))


def _df_of_rows(size: float) -> float:
    """Degrees of freedom of a variance that so many rows tell, by way of groups."""
    return 1 / (1 / max(1.0, size - 1) + 1 / GROUPS)


def _satterthwaite(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances, each with its own (Satterthwaite 1946); of none those of the first."""
    total = sum(v for v, _ in parts)
    if total <= 0:
        return parts[0][1]
    rest = sum(v * v / max(1.0, df) for v, df in parts if v > 0)
    return max(1.0, total * total / rest) if rest > 0 else math.inf


def _ends(e: _Estimate, bounds: str) -> tuple[float, float]:
    t = t_quantile((1 + LEVEL) / 2, e.df)
    if bounds == SHARE and 0 <= e.value <= 1:
        return _score(e, t)
    wide = t * math.sqrt(e.variance)
    if bounds == POSITIVE and e.value > 0:
        factor = math.exp(wide / e.value)
        return e.value / factor, e.value * factor
    return e.value - wide, e.value + wide


def _score(e: _Estimate, t: float) -> tuple[float, float]:
    """Wilson's (1927) interval for a share of as many rows as would give it this variance; near 0 and 1 it stays wide,
    where the variance that was seen says nothing.
    """
    p, seen = e.value, e.value * (1 - e.value)
    rows = seen / e.variance if e.variance > 0 and seen > 0 else e.size
    if not math.isfinite(rows):
        return p, p
    middle = (p + t * t / (2 * rows)) / (1 + t * t / rows)
    wide = t / (1 + t * t / rows) * math.sqrt(seen / rows + t * t / (4 * rows * rows))
    return max(0.0, min(p, middle - wide)), min(1.0, max(p, middle + wide))


def _simultaneous(deviations: Sequence[np.ndarray]) -> float:
    """By how much intervals for all of these at once are wider than each by itself; 1 for one.

    What all have in common is kept: the largest of them is looked for in draws with their correlation.
    """
    known = np.array([d / math.sqrt(_square(d)) for d in deviations if len(d) > 1 and _square(d) > 0])
    if len(known) < 2:
        return 1.0
    draws = np.abs(known @ np.random.default_rng(0).standard_normal((known.shape[1], _DRAWS)))
    return max(1.0, float(np.quantile(draws.max(0), LEVEL)) / NormalDist().inv_cdf((1 + LEVEL) / 2))


_DRAWS = 4000


def _covers(e: _Estimate) -> str:
    varied = [ROWS] * e.rows + [TRAINING] * (e.seeds > 1)
    fixed = [] if e.rows else [ROWS]
    return f"over {' and '.join(varied)}; not over {' or '.join([*fixed, 'other data'])}"


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
