"""What is said about each setting: its quality, its costs, and what it took to reach the target.

A setting is run once or with several seeds. Everything below is about the group of its runs; one run is a group of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from foedus.core.errors import BadInput
from foedus.core.records.evaluated_on import EvaluatedOn, go_together
from foedus.core.records.run import Record, Run
from foedus.core.types import metric as core
from foedus.core.types.metric import AMOUNT, BOUNDED, SHARE
from foedus.network import PRESETS
from foedus.report.seeds import common, mean_record, sd
from foedus.report.uncertainty import tied
from foedus.report.units import MISSING, finite, percent, three_digits

TOGETHER, POOLED, ALONE, SILENT = "together", "pooled", "alone", "silent"

NAMES = {POOLED: "all data in one place", ALONE: "each node alone"}
"""What the baselines are called in a sentence."""

# By name, not by import: the report knows runs, never programs.
_BASELINES = {"Centralized": POOLED, "LocalOnly": ALONE}

MANY = 8
"""More groups than these are ranked, and the best few of them drawn in colour."""
_BEST = 5

Runs = Run | Sequence[Run] | Mapping[str, Run | Sequence[Run]]


@dataclass(frozen=True)
class Metric:
    """A measure of quality as people read it: its name in a ``Record``, how it is called, which way is better, and how
    its values are written (see ``core.types.metric.Metric``).
    """

    field: str
    label: str
    higher: bool
    form: str = AMOUNT

    @staticmethod
    def of_core(m: core.Metric) -> Metric:
        """The same as people read it."""
        return Metric(m.name, m.label, m.higher, m.form)

    @property
    def share(self) -> bool:
        """True where it is shown in per cent."""
        return self.form == SHARE

    @property
    def title(self) -> str:
        """Its name at the start of a line."""
        return self.label[:1].upper() + self.label[1:]

    def of(self, record: Record) -> float | None:
        """The record's value, or None where it was not measured or is not finite."""
        return finite(record.measured(self.field))

    def text(self, value: float | None) -> str:
        """The value as people read it."""
        value = finite(value)
        if value is None:
            return MISSING
        if self.share:
            return percent(value)
        return f"{value:.3f}" if self.form == BOUNDED else three_digits(value)

    def spread_text(self, values: Sequence[float]) -> str:
        """Mean and standard deviation of one value a seed; of a single one the value itself."""
        if len(values) < 2:
            return self.text(values[0] if values else None)
        middle, around = fmean(values), sd(values)
        if self.share:
            return f"{100 * middle:.1f} ± {100 * around:.1f} %"
        # As many digits of the mean as the deviation has, which has two.
        size = math.floor(math.log10(around)) if around > 0 else -2
        places = max(0, 1 - size)
        if places > 8 or abs(middle) >= 1e6:
            return f"{middle:.3g} ± {around:.2g}"
        return f"{middle:,.{places}f} ± {around:,.{places}f}"

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


METRICS = tuple(Metric.of_core(core.named(name)) for name in (*core.QUALITY, "train_loss"))
"""What a run may have been measured by that says nothing of its metrics, the main one first."""


def measures(runs: Iterable[Run]) -> tuple[Metric, ...]:
    """What any of these runs may have been measured by, each once, the main one first."""
    found: dict[str, Metric] = {}
    for m in (*(Metric.of_core(m) for run in runs for m in run.metrics), *METRICS):
        found.setdefault(m.field, m)
    return tuple(found.values())


class On(str):
    """A label that says what was run, and on which network: a text like any other, that the report can take apart.

    >>> label = On("fedavg", "wan")
    >>> label, label.subject, label.network
    ('fedavg, network=wan', 'fedavg', 'wan')
    """

    subject: str
    network: str

    def __new__(cls, subject: str, network: str, label: str = "") -> On:
        """``label`` is what it reads where both are named, by default as above."""
        made = super().__new__(cls, label or f"{subject}, network={network}")
        made.subject, made.network = subject, network
        return made


def network_name(network: str) -> str:
    """A preset as its name is written in a sentence, any other as it is."""
    return network.upper() if network.lower() in PRESETS else network


# By identity: a run holds tensors, which have no single equality.
@dataclass(frozen=True, eq=False)
class Summary:
    """One setting in numbers: of its only run, or means over the seeds it was run with.

    ``runs``       one a seed, ordered by seed.
    ``role``       ``"together"``, ``"pooled"`` (all data in one place), ``"alone"`` (each node by itself), or
                   ``"silent"`` (any other that sent nothing).
    ``evaluated``  the curve: mean records of those rounds at which every seed has a value of the metric, in order.
    ``values``     its values; ``low`` and ``high`` are those of the lowest and the highest seed.
    ``finals``     the last value of every seed that was evaluated.
    ``mosts``      the best of any round of every seed: how far a target may be set, and no measure of how good it is,
                   for it was picked on the rows that it is of.
    ``last``       costs at the last commit (those of the ledger of a run that has none).
    ``reaching``   of every seed that got there the first record at the target.
    ``subject``    the label without the network.
    ``network``    on which it ran, where the label says so.
    """

    label: str
    runs: tuple[Run, ...]
    role: str
    evaluated: tuple[Record, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    finals: tuple[float, ...]
    mosts: tuple[float, ...]
    last: Record
    reaching: tuple[Record, ...] = ()
    subject: str = ""
    network: str | None = None

    @property
    def run(self) -> Run:
        """The first run, for what all seeds share."""
        return self.runs[0]

    @property
    def n(self) -> int:
        """How many runs there are."""
        return len(self.runs)

    @property
    def final(self) -> float | None:
        """The last value measured."""
        return fmean(self.finals) if self.finals else None

    @property
    def most(self) -> float | None:
        """The best value of any round."""
        return fmean(self.mosts) if self.mosts else None

    @property
    def reached(self) -> Record | None:
        """What had been spent when the target was first reached, over the seeds that got there."""
        return mean_record(self.reaching) if self.reaching else None

    @property
    def reached_by(self) -> str:
        """How many seeds got to the target, where that is only some of them: "3 of 5 seeds"."""
        return f"{len(self.reaching)} of {self.n} seeds" if 0 < len(self.reaching) < self.n else ""

    @property
    def evaluated_on(self) -> tuple[EvaluatedOn, ...]:
        """What its runs were measured on, each once: one thing, unless they were started by hand."""
        return tuple(dict.fromkeys(run.evaluated_on for run in self.runs))

    @property
    def diverged(self) -> bool:
        """Whether a run of it diverged, to what is not finite or to a thousand times its first loss: what is left says
        nothing of the program.
        """
        return any(run.status == "diverged" or run.grown is not None for run in self.runs)

    @property
    def bytes(self) -> int:
        """Bytes in both directions."""
        return self.last.bytes_up + self.last.bytes_down

    @property
    def who(self) -> str:
        """How a sentence calls it."""
        return NAMES.get(self.role, self.label)


@dataclass(frozen=True)
class Comparison:
    """All settings in numbers, the metric they are compared by (None if nothing was measured) and the target.

    ``programs``    what is set side by side. Where settings differ in the network, each is there once, as it went on
                    the ``network`` that this comparison is about.
    ``everywhere``  all settings, on all networks, in the order given.
    """

    metric: Metric | None
    target: float | None
    programs: tuple[Summary, ...]
    everywhere: tuple[Summary, ...]
    network: str | None = None

    @cached_property
    def alike(self) -> frozenset[EvaluatedOn]:
        """What most of the settings were measured on, as far as its numbers may stand side by side."""
        return _alike(self.metric, self.everywhere)

    def odd(self, s: Summary) -> bool:
        """Whether a setting was measured on other rows than most, or in another way: it is no match for them."""
        return s.final is not None and not self.alike.issuperset(s.evaluated_on)

    def counts(self, s: Summary) -> bool:
        """Whether sentences and headlines may be made of it: it has not diverged, and was measured as most were."""
        return s.final is not None and not s.diverged and not self.odd(s)

    @property
    def networks(self) -> tuple[str, ...]:
        """Those that settings differ in, presets first and from fast to slow; none where there are not two."""
        found = {s.network for s in self.everywhere if s.network is not None}
        presets = list(PRESETS)
        return tuple(
            sorted(found, key=lambda n: (presets.index(n) if n in presets else len(presets), n))
            if len(found) > 1
            else ()
        )

    def with_role(self, role: str) -> list[Summary]:
        """Those of one role that count, in order."""
        return [s for s in self.programs if s.role == role and self.counts(s)]

    @cached_property
    def level(self) -> tuple[Summary, tuple[Summary, ...]] | None:
        """The best federated program, and all that cannot be told from it, itself among them, in order.

        None where there is none, or nothing tells how far chance goes.
        """
        together, metric = self.with_role(TOGETHER), self.metric
        found = None if metric is None else tied([s.runs for s in together], metric.field, metric.higher)
        if found is None:
            return None
        best, near = found
        return together[best], tuple(together[i] for i in sorted(near))

    @property
    def chosen(self) -> Summary | None:
        """The federated program that stands for all: of those that cannot be told from the best, what cost least; the
        best itself, where it cost no more.
        """
        together, metric = self.with_role(TOGETHER), self.metric
        if not together or metric is None:
            return None
        if self.level is not None:
            best, level = self.level
            return min(level, key=lambda s: (_costs(s), s is not best))
        top = metric.best([s.final for s in together if s.final is not None])
        return min((s for s in together if s.final == top), key=_costs)

    @property
    def ranked(self) -> tuple[Summary, ...]:
        """In the order given; where there are many, the best at the end first."""
        metric = self.metric
        if len(self.programs) <= MANY or metric is None:
            return self.programs
        sign = -1.0 if metric.higher else 1.0
        return tuple(sorted(self.programs, key=lambda s: math.inf if s.final is None else sign * s.final))

    @property
    def shown(self) -> tuple[Summary, ...]:
        """Those that drawings tell apart: all, or where there are many the best few and what they are compared with."""
        if len(self.programs) <= MANY:
            return self.programs
        ranked = [s for s in self.ranked if s.role == TOGETHER and s.final is not None][:_BEST]
        ranked += [s for s in self.ranked if s.role in (POOLED, ALONE)][: MANY - _BEST]
        ranked = ranked or list(self.ranked[:_BEST])
        return tuple(s for s in self.programs if s in ranked)


def _costs(s: Summary) -> tuple[float, float]:
    """Dear is first of all what is sent, then what is computed."""
    return s.bytes, s.last.epochs


def named(runs: Runs) -> dict[str, tuple[Run, ...]]:
    """Groups of runs by label, each ordered by seed.

    In a list every run is a setting of its own, and those that share a class name are numbered. Errors: ``BadInput``
    for no runs, an empty group, or another type.
    """
    groups: dict[str, list[Run]]
    if isinstance(runs, Run):
        groups = {runs.name: [runs]}
    elif isinstance(runs, Mapping):
        groups = {
            k if isinstance(k, str) else str(k): [v] if isinstance(v, Run) or not isinstance(v, Sequence) else list(v)
            for k, v in runs.items()
        }
    else:
        listed = list(runs)
        names = [r.name if isinstance(r, Run) else "?" for r in listed]
        groups = {}
        for i, (name, run) in enumerate(zip(names, listed, strict=True)):
            groups[f"{name} {names[: i + 1].count(name)}" if names.count(name) > 1 else name] = [run]
    if not groups:
        raise BadInput("a report needs at least one run, got none")
    for label, group in groups.items():
        if not group:
            raise BadInput(f"a report needs at least one run of everything it compares, but {label!r} has none")
        for run in group:
            if not isinstance(run, Run):
                raise BadInput(f"a report is made of runs, but {label!r} is a {type(run).__name__}")
    return {label: tuple(sorted(group, key=lambda r: r.seed)) for label, group in groups.items()}


def choose_metric(runs: Sequence[Run]) -> Metric | None:
    """What most of the runs measured, of equals the first of their metrics, the loss last; None if none did.

    A loss says nothing beside one of another kind: it is compared by only where nothing else was measured.
    """
    measured = {m: sum(any(m.of(r) is not None for r in run.history) for run in runs) for m in measures(runs)}
    for some in ([m for m in measured if m.field not in ("loss", "train_loss")], list(measured)):
        best = max(some, key=lambda m: measured[m], default=None)  # the first of equals
        if best is not None and measured[best]:
            return best
    return None


def compare(runs: Runs, target: float | None = None) -> Comparison:
    """All settings in numbers: a run, a list of runs, or a dict from label to a run or to the runs of several seeds.

    ``target``  the quality whose price is compared (accuracy as a share, 0 to 1). By default 95 % of the best
                federated accuracy, in whole per cents; for an error 5 % above the lowest.
    Errors: ``BadInput`` for no runs, and for a target that is not a number or no share where a share is expected.
    """
    groups = named(runs)
    metric = choose_metric([run for group in groups.values() for run in group])
    programs = [_summarize(label, group, metric) for label, group in groups.items()]
    if metric is None:
        return _side_by_side(None, None, programs)
    alike = _alike(metric, programs)
    if target is None:
        target = _default_target(metric, [s for s in programs if alike.issuperset(s.evaluated_on)] or programs)
    elif not math.isfinite(target) or ((metric.share or metric.field.startswith("auc")) and not 0 <= target <= 1):
        hint = f"; did you mean {target / 100:g}?" if 1 < target <= 100 else ""
        raise BadInput(f"the target for {metric.label} is a share between 0 and 1, got {target!r}{hint}")
    return _side_by_side(metric, target, [_with_reaching(s, metric, target, alike) for s in programs])


def _side_by_side(metric: Metric | None, target: float | None, everywhere: Sequence[Summary]) -> Comparison:
    """The comparison on one network: of those that there are the first whose messages take time."""
    whole = Comparison(metric, target, tuple(everywhere), tuple(everywhere))
    if not whole.networks:
        return whole
    sent = {s.network for s in everywhere if s.last.wire_s > 0}
    network = next((n for n in whole.networks if n in sent), whole.networks[0])
    subjects: dict[tuple[str, bool], list[Summary]] = {}
    for s in everywhere:
        subjects.setdefault((s.subject, s.network is None), []).append(s)
    chosen = []
    for (subject, _), settings in subjects.items():
        # What has not been run there, or not yet, is shown where it was, and its label says so.
        here = next((s for s in settings if s.network == network), settings[0])
        alone = here.network == network and (subject, True) not in subjects
        chosen.append(replace(here, label=subject) if alone else here)
    return replace(whole, programs=tuple(chosen), network=network)


def _summarize(label: str, runs: tuple[Run, ...], metric: Metric | None) -> Summary:
    return replace(
        _numbers(label, runs, metric),
        subject=label.subject if isinstance(label, On) else label,
        network=label.network if isinstance(label, On) else None,
    )


def _numbers(label: str, runs: tuple[Run, ...], metric: Metric | None) -> Summary:
    last = mean_record([run.history[-1] if run.history else _from_ledger(run) for run in runs])
    if metric is None:
        return Summary(label, runs, _role(runs[0], last), (), (), (), (), (), (), last)
    curves = [h for run in runs if (h := _evaluated(run, metric))]
    mosts = [metric.best([_value(metric, r) for r in h]) for h in curves]
    rounds = common(curves) if curves else []
    seen = [[_value(metric, r) for r in records] for records in rounds]
    return Summary(
        label=label,
        runs=runs,
        role=_role(runs[0], last),
        evaluated=tuple(mean_record(records) for records in rounds),
        values=tuple(fmean(values) for values in seen),
        low=tuple(min(values) for values in seen),
        high=tuple(max(values) for values in seen),
        finals=tuple(_value(metric, h[-1]) for h in curves),
        mosts=tuple(b for b in mosts if b is not None),
        last=last,
    )


def _evaluated(run: Run, metric: Metric) -> list[Record]:
    return [r for r in run.history if metric.of(r) is not None]


def _value(metric: Metric, record: Record) -> float:
    value = metric.of(record)
    assert value is not None
    return value


def _alike(metric: Metric | None, programs: Sequence[Summary]) -> frozenset[EvaluatedOn]:
    # One that was measured in several ways is like nobody, itself included.
    named = [s.evaluated_on[0] for s in programs if len(s.evaluated_on) == 1 and s.final is not None]
    return go_together(named, "" if metric is None else metric.field)


def _with_reaching(s: Summary, metric: Metric, target: float, alike: frozenset[EvaluatedOn]) -> Summary:
    """The target is in what most were measured by: of another measure nobody can say whether it is reached."""
    return replace(s, reaching=_reaching(s, metric, target)) if alike.issuperset(s.evaluated_on) else s


def _reaching(s: Summary, metric: Metric, target: float) -> tuple[Record, ...]:
    firsts = (
        next((r for r in _evaluated(run, metric) if metric.reaches(_value(metric, r), target)), None) for run in s.runs
    )
    return tuple(r for r in firsts if r is not None)


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
        serial_s=t.serial_s,
        virtual_s=run.ledger.virtual_s,
        wall_s=run.ledger.wall_s,
    )


def time_head(programs: Sequence[Summary]) -> str:
    """What a column of ``clock_s`` is called: the wall clock's, if nothing was simulated."""
    real = all(s.last.serial_s and not s.last.virtual_s for s in programs)
    return "time" if real else "virtual time"


def _default_target(metric: Metric, programs: Sequence[Summary]) -> float:
    sound = [s for s in programs if s.most is not None and not s.diverged]
    together = [s.most for s in sound if s.role == TOGETHER and s.most is not None]
    best = metric.best(together or [s.most for s in sound or programs if s.most is not None])
    assert best is not None
    if metric.higher:
        return round(0.95 * best, 2)
    # Two digits, rounded away from the best, so that the run which set the target always reaches it.
    raw = best + 0.05 * abs(best)
    step = 10.0 ** (math.floor(math.log10(abs(raw))) - 1) if raw else 1.0
    return float(f"{math.ceil(raw / step) * step:.6g}")
