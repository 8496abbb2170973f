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
from statistics import NormalDist

import numpy as np

from foedus.core.records.judged import Measured, in_words
from foedus.core.records.run import Run
from foedus.core.types.metric import named
from foedus.report.ends import EXPLAINED, LEVEL, PLAIN, POSITIVE, ROOT, SHARE, Estimate, ends, square
from foedus.report.units import percent, three_digits

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


def interval(runs: Sequence[Run], metric: str, bounds: str | None = None) -> Interval | None:
    """The mean over the runs of one setting (one a seed) at their judged points; None where nothing tells its spread.

    ``bounds`` says what values there can be, as ``ends`` has it; by default it goes by the metric's name.
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
    rounds = in_words(j.rounds)
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
    near = {i for i, d in others.items() if d is not None and (d.few or abs(d.value) <= wider * _towards_zero(d))}
    return best, frozenset({best, *near})


def _towards_zero(d: Difference) -> float:
    """How far the interval reaches from its value towards 0."""
    return d.value - d.low if d.value > 0 else d.high - d.value


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


_ANY = ("kappa", "mcc")
_ABOVE_ZERO = ("mse", "mae", "median_absolute_error", "loss", "log_loss", "train_loss")
_OF_ITS_OWN = {"rmse": ROOT, "r2": EXPLAINED, **dict.fromkeys(_ABOVE_ZERO, POSITIVE)}


def bounds_of(metric: str) -> str:
    """What values a metric can have."""
    kind = named(metric).kind
    if metric in _OF_ITS_OWN:
        return _OF_ITS_OWN[metric]
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
    return metric not in _OF_ITS_OWN and kind not in ("", "accuracy", "brier", "calibration_error")


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
    found = ends(e, bounds)
    return Interval(e.value, found.low, found.high, _covers([samples]), few if found.told else TOO_FEW)


def of_pairs(pairs: Sequence[tuple[Sampled, Sampled]], few: str = "") -> Difference | None:
    """The mean over seeds of the first minus the second."""
    apart = [_minus(a, b) for a, b in pairs]
    return _difference(_over_seeds(apart), [apart], few)


def of_two_means(a: Sequence[Sampled], b: Sequence[Sampled], few: str = "") -> Difference | None:
    """The mean of ``a`` minus that of ``b`` where seeds are no pairs; rows that both were judged on still are."""
    ours, theirs = _over_seeds(a), _over_seeds(b)
    if ours is None or theirs is None or (_deviations(a) is None) != (_deviations(b) is None):
        return None
    trained = [*ours.trained, *theirs.trained]
    size = min(ours.size, theirs.size)
    return _difference(Estimate(ours.value - theirs.value, _apart(a, b), trained, size), [a, b], few)


def _difference(e: Estimate | None, samples: Sequence[Sequence[Sampled]], few: str) -> Difference | None:
    if e is None:
        return None
    found = ends(e, PLAIN)
    return Difference(e.value, found.low, found.high, _covers(samples), few)


def _minus(a: Sampled, b: Sampled) -> Sampled:
    both = None if a.deviations is None or b.deviations is None else a.deviations - b.deviations
    return Sampled(a.value - b.value, both, min(a.size, b.size))


def _over_seeds(samples: Sequence[Sampled]) -> Estimate | None:
    """The variance of a mean over K seeds has two parts. Rows: the sum of squares of the deviations' mean over the
    seeds, in which a row that several seeds judged is one row. Training: what seeds differ by beyond what their rows
    explain.
    """
    of_seeds = _deviations(samples)
    if not samples or (of_seeds is None and len(samples) < 2):
        return None
    return Estimate(
        value=float(np.mean([s.value for s in samples])),
        deviations=np.zeros(1) if of_seeds is None else of_seeds.mean(0),
        trained=[(_trained(samples) / len(samples), len(samples) - 1)],
        size=min(s.size for s in samples),
        of_a_seed=None if of_seeds is None else float(np.mean([square(d) for d in of_seeds])),
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


def _simultaneous(deviations: Sequence[np.ndarray]) -> float:
    """By how much intervals for all of these at once are wider than each by itself; 1 for one.

    What all have in common is kept: the largest of them is looked for in draws with their correlation.
    """
    known = np.array([d / math.sqrt(square(d)) for d in deviations if len(d) > 1 and square(d) > 0])
    if len(known) < 2:
        return 1.0
    draws = np.abs(known @ np.random.default_rng(0).standard_normal((known.shape[1], _DRAWS)))
    return max(1.0, float(np.quantile(draws.max(0), LEVEL)) / NormalDist().inv_cdf((1 + LEVEL) / 2))


_DRAWS = 4000


def _covers(samples: Sequence[Sequence[Sampled]]) -> str:
    rows = all(_deviations(some) is not None for some in samples)
    varied = [ROWS] * rows + [TRAINING] * all(len(some) > 1 for some in samples)
    fixed = [] if rows else [ROWS]
    return f"over {' and '.join(varied)}; not over {' or '.join([*fixed, 'other data'])}"
