"""What the page says about each run: its quality, its costs, and what it took to reach the target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foedus.core.errors import BadInput
from foedus.core.run import Record, Run
from foedus.report.units import MISSING, finite, percent, three_digits

TOGETHER, POOLED, ALONE, SILENT = "together", "pooled", "alone", "silent"

# By name, not by import: the report knows runs, never programs.
_BASELINES = {"Centralized": POOLED, "LocalOnly": ALONE}

Runs = Run | Sequence[Run] | Mapping[str, Run]


@dataclass(frozen=True)
class Metric:
    """A measure of quality: the field of ``Record`` that holds it, how it is called, and which way is better."""

    field: str
    label: str
    higher: bool

    @property
    def share(self) -> bool:
        """True where it is shown in per cent."""
        return self.field == "accuracy"

    @property
    def title(self) -> str:
        """Its name at the start of a line."""
        return self.label[:1].upper() + self.label[1:]

    def of(self, record: Record) -> float | None:
        """The record's value, or None where it was not measured or is not finite."""
        return finite(getattr(record, self.field))

    def text(self, value: float | None) -> str:
        """The value as people read it."""
        value = finite(value)
        if value is None:
            return MISSING
        if self.share:
            return percent(value)
        return f"{value:.3f}" if self.field == "auc" else three_digits(value)

    def target_text(self, value: float) -> str:
        """A target as people read it: whole per cents without a decimal."""
        return self.text(value).replace(".0 %", " %") if self.share else three_digits(value)

    def better(self, a: float, b: float) -> bool:
        """True if ``a`` is strictly better than ``b``."""
        return a > b if self.higher else a < b

    def reaches(self, value: float, target: float) -> bool:
        """True if ``value`` is at least as good as ``target``."""
        return value >= target if self.higher else value <= target

    def best(self, values: Sequence[float]) -> float | None:
        """The best of some values; None of none."""
        return None if not values else (max(values) if self.higher else min(values))


METRICS = (
    Metric("accuracy", "accuracy", True),
    Metric("auc", "AUC", True),
    Metric("rmse", "RMSE", False),
    Metric("loss", "loss", False),
    Metric("train_loss", "training loss", False),
)


# By identity: a run holds tensors, which have no single equality.
@dataclass(frozen=True, eq=False)
class Summary:
    """One run in numbers. Costs are those of its last commit (of the ledger if it has none).

    ``evaluated``  the records with a value of the metric, in order.   ``reached``  the first of them at the target.
    ``role``       ``"together"``, ``"pooled"`` (all data in one place), ``"alone"`` (each node by itself), or
                   ``"silent"`` (any other run that sent nothing).
    """

    label: str
    run: Run
    role: str
    evaluated: tuple[Record, ...]
    values: tuple[float, ...]
    best: float | None
    last: Record
    reached: Record | None

    @property
    def final(self) -> float | None:
        """The last value measured."""
        return self.values[-1] if self.values else None

    @property
    def bytes(self) -> int:
        """Bytes in both directions."""
        return self.last.bytes_up + self.last.bytes_down

    @property
    def who(self) -> str:
        """How a sentence calls it."""
        return {POOLED: "all data in one place", ALONE: "each node alone"}.get(self.role, self.label)


@dataclass(frozen=True)
class Comparison:
    """All runs in numbers, with the metric they are compared by (None if nothing was measured) and the target."""

    metric: Metric | None
    target: float | None
    programs: tuple[Summary, ...]

    def with_role(self, role: str) -> list[Summary]:
        """Those of one role that were evaluated, in order."""
        return [s for s in self.programs if s.role == role and s.final is not None]

    @property
    def chosen(self) -> Summary | None:
        """The federated run that stands for all: the best at the end; among near-equals the one that sent least."""
        together, metric = self.with_role(TOGETHER), self.metric
        if not together or metric is None:
            return None
        top = metric.best([s.final for s in together if s.final is not None])
        assert top is not None
        slack = 0.005 if metric.share else 0.01 * abs(top)
        near = [s for s in together if s.final is not None and abs(s.final - top) <= slack]
        return min(near, key=lambda s: s.bytes)


def named(runs: Runs) -> dict[str, Run]:
    """Runs by label. Those that share a class name are numbered. Errors: ``BadInput`` for none, or another type."""
    if isinstance(runs, Run):
        return {runs.name: runs}
    if isinstance(runs, Mapping):
        found = {str(k): v for k, v in runs.items()}
    else:
        listed = list(runs)
        names = [r.name if isinstance(r, Run) else "?" for r in listed]
        found = {}
        for i, (name, run) in enumerate(zip(names, listed, strict=True)):
            found[f"{name} {names[: i + 1].count(name)}" if names.count(name) > 1 else name] = run
    if not found:
        raise BadInput("a report needs at least one run, got none")
    for label, run in found.items():
        if not isinstance(run, Run):
            raise BadInput(f"a report is made of runs, but {label!r} is a {type(run).__name__}")
    return found


def choose_metric(runs: Sequence[Run]) -> Metric | None:
    """The first of accuracy, AUC, RMSE, loss, training loss that any run measured; None if none did."""
    records = [r for run in runs for r in run.history]
    return next((m for m in METRICS if any(m.of(r) is not None for r in records)), None)


def compare(runs: Runs, target: float | None = None) -> Comparison:
    """All runs in numbers.

    ``target``  the quality whose price is compared (accuracy as a share, 0 to 1). By default 95 % of the best
                federated accuracy, in whole per cents; for an error 5 % above the lowest.
    Errors: ``BadInput`` for no runs, and for a target that is not a number or no share where a share is expected.
    """
    by_label = named(runs)
    metric = choose_metric(list(by_label.values()))
    first = [_summarize(label, run, metric) for label, run in by_label.items()]
    if metric is None:
        return Comparison(None, None, tuple(first))
    if target is None:
        target = _default_target(metric, first)
    elif not math.isfinite(target) or (metric.field in ("accuracy", "auc") and not 0 <= target <= 1):
        hint = f"; did you mean {target / 100:g}?" if 1 < target <= 100 else ""
        raise BadInput(f"the target for {metric.label} is a share between 0 and 1, got {target!r}{hint}")
    return Comparison(metric, target, tuple(_summarize(label, run, metric, target) for label, run in by_label.items()))


def _summarize(label: str, run: Run, metric: Metric | None, target: float | None = None) -> Summary:
    pairs = [(r, v) for r in run.history if metric is not None and (v := metric.of(r)) is not None]
    reached = None
    if metric is not None and target is not None:
        reached = next((r for r, v in pairs if metric.reaches(v, target)), None)
    last = run.history[-1] if run.history else _from_ledger(run)
    values = tuple(v for _, v in pairs)
    best = metric.best(values) if metric is not None else None
    return Summary(label, run, _role(run, last), tuple(r for r, _ in pairs), values, best, last, reached)


def _role(run: Run, last: Record) -> str:
    if run.name in _BASELINES:
        return _BASELINES[run.name]
    return TOGETHER if last.bytes_up + last.bytes_down > 0 or not run.history else SILENT


def _from_ledger(run: Run) -> Record:
    """The costs of a run that ended before its first commit."""
    t = run.ledger.total
    return Record(
        round=0,
        epochs=t.samples / max(1, sum(run.sizes)),
        bytes_up=t.bytes_up,
        bytes_down=t.bytes_down,
        messages=run.ledger.messages,
        compute_s=t.compute_s,
        wire_s=t.wire_s,
        waiting_s=t.waiting_s,
        virtual_s=run.ledger.virtual_s,
        wall_s=run.ledger.wall_s,
    )


def _default_target(metric: Metric, programs: Sequence[Summary]) -> float:
    together = [s.best for s in programs if s.role == TOGETHER and s.best is not None]
    best = metric.best(together or [s.best for s in programs if s.best is not None])
    assert best is not None
    if metric.higher:
        return round(0.95 * best, 2)
    # Two digits, rounded away from the best, so that the run which set the target always reaches it.
    raw = best + 0.05 * abs(best)
    step = 10.0 ** (math.floor(math.log10(abs(raw))) - 1) if raw else 1.0
    return float(f"{math.ceil(raw / step) * step:.6g}")
