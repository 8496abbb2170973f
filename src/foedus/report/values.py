"""Values as they are told: with their interval, with as many decimals in a column; differences with theirs.

The numbers are those of ``uncertainty``; here is how they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from foedus.core.records.run import Run
from foedus.core.types.metric import BOUNDED
from foedus.report.summary import Comparison, Metric, Summary, measures
from foedus.report.uncertainty import Difference, Interval, difference, interval, sampled
from foedus.report.units import MISSING, numbers_column, places, three_digits

_PLACES, _MINUS = 3, "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Told:
    """One setting's value in a column. ``interval`` is empty where nothing tells its spread; ``few``: too few rows."""

    value: str
    interval: str = ""
    few: str = ""


def value(runs: Sequence[Run], metric: Metric) -> float | None:
    """The mean over the runs of one setting, each at the point at which it is judged; None where none was evaluated."""
    found = [s.value for run in runs if (s := sampled(run, metric.field)) is not None]
    return fmean(found) if found else None


def column(settings: Sequence[Summary], metric: Metric) -> list[Told]:
    """The values of several settings, one below the other."""
    values = [value(s.runs, metric) for s in settings]
    around = [interval(s.runs, metric.field) for s in settings]
    shown = decimals(metric, values)
    told = []
    for v, i, words in zip(values, around, shown, strict=True):
        if v is None or i is None:
            told.append(Told(words))
        else:
            low, high = decimals(metric, [i.low, i.high], like=values)
            told.append(Told(words, f"{low} to {high}" if low != high else "", i.few))
    return told


def decimals(metric: Metric, values: Sequence[float | None], like: Sequence[float | None] | None = None) -> list[str]:
    """Values of a metric with as many decimals each; ``like``: as many as those have."""
    if metric.share:
        return [metric.text(v) for v in values]
    like = values if like is None else like
    digits = _PLACES if metric.form == BOUNDED else places(like)
    if any(v is not None and v and not 1e-6 < abs(v) < 1e6 for v in like):
        return numbers_column(values)
    return [MISSING if v is None else f"{v:,.{digits}f}" for v in values]


def covers(settings: Sequence[Summary], metric: Metric) -> str:
    """What the intervals in a column cover, in one sentence; empty where there are none."""
    found = [i for s in settings if (i := interval(s.runs, metric.field)) is not None]
    said = list(dict.fromkeys(i.covers for i in found))
    if not said:
        return ""
    return f"Beside or below a value is its 95 % interval, {'; or '.join(said)}."


def shown_metrics(c: Comparison) -> list[Metric]:
    """All measures of quality that any setting has, the one that is compared by first; training loss only by itself."""
    if c.metric is None:
        return []
    every = measures(run for s in c.programs for run in s.runs)
    others = [m for m in every if m.field not in (c.metric.field, "train_loss")]
    return [c.metric, *(m for m in others if any(value(s.runs, m) is not None for s in c.programs))]


def apart(a: Summary, b: Summary, metric: Metric) -> Difference | None:
    """How much more of the metric ``a`` has than ``b``; None where nothing tells how far chance goes."""
    return difference(a.runs, b.runs, metric.field)


def usual(runs: Sequence[Run], metric: Metric) -> float | None:
    """What one answer for all rows would have of it: always the commonest class, or the targets' mean. None if unknown,
    and for what says nothing so: the loss, and an AUC, which is then a half.
    """
    if metric.field == "loss" or metric.field.startswith("auc"):
        return None
    found = [run.usual[metric.field] for run in runs if run.usual and metric.field in run.usual]
    return fmean(found) if found else None


def points(metric: Metric, size: float, like: Sequence[float | None] = ()) -> str:
    """A difference without its sign: 2.2 points of per cent, or 0.013; with as many decimals as ``like`` have."""
    if metric.share:
        return f"{abs(100 * size):.1f} points"
    return decimals(metric, [abs(size)], like)[0] if like else _small(metric, abs(size))


def _small(metric: Metric, size: float) -> str:
    return f"{size:.{_PLACES}f}" if metric.form == BOUNDED else three_digits(size)


def from_to(metric: Metric, d: Interval, like: Sequence[float | None] = ()) -> str:
    """A difference's interval with its signs: "−0.4 to +2.2 points"."""
    return f"{signed(metric, d.low, like).removesuffix(' points')} to {signed(metric, d.high, like)}"


def signed(metric: Metric, gap: float, like: Sequence[float | None] = ()) -> str:
    """A difference with its sign, of which 0 has none."""
    size = points(metric, gap, like)
    if size == points(metric, 0.0, like):
        return size
    return f"{'+' if gap > 0 else _MINUS}{size}"
