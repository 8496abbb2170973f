"""Several seeds of one setting taken together: their mean, their spread, and a record that is the mean of records."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import fields
from statistics import fmean
from typing import Any

from foedus.core.records.run import Record, Run
from foedus.report.ends import LEVEL, t_quantile
from foedus.report.units import finite

_SEED = re.compile(r"seed\s*=")
_MEASURED = ("loss", "accuracy", "auc", "rmse", "train_loss")


def sd(values: Sequence[float]) -> float:
    """Sample standard deviation (divided by n - 1); 0 for fewer than two values.

    >>> sd([1.0, 3.0]), sd([5.0])
    (1.4142135623730951, 0.0)
    """
    if len(values) < 2:
        return 0.0
    middle = fmean(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (len(values) - 1))


def spread(a: Sequence[float], b: Sequence[float]) -> float:
    """Standard deviation of the difference between one value of ``a`` and one of ``b``."""
    return math.hypot(sd(a), sd(b))


def within_spread(a: Sequence[float], b: Sequence[float]) -> bool:
    """True if two means over seeds cannot be told apart: 0 lies inside the 95 % interval of their difference.

    Single runs have no spread, so it is False for two. For numbers that differ between seeds and nothing else, such as
    what was spent: quality is told by ``uncertainty``. The interval is Welch's (1947).

    >>> within_spread([0.90, 0.94], [0.93, 0.95]), within_spread([0.5, 0.51], [0.9, 0.91]), within_spread([0.9], [0.9])
    (True, False, False)
    """
    if max(len(a), len(b)) < 2 or spread(a, b) == 0:
        return False
    # A single value is as uncertain as those of the other group are.
    each = [sd(v if len(v) > 1 else other) ** 2 / len(v) for v, other in ((a, b), (b, a))]
    freedom = [max(1, len(v) - 1) for v in (a, b)]
    df = sum(each) ** 2 / sum(v * v / f for v, f in zip(each, freedom, strict=True))
    return abs(fmean(a) - fmean(b)) <= t_quantile((1 + LEVEL) / 2, df) * math.sqrt(sum(each))


def mean_record(records: Sequence[Record]) -> Record:
    """Field by field the mean over records (at least one) of those that have a value; the record itself of one."""
    if len(records) == 1:
        return records[0]
    means: dict[str, Any] = {}
    for f in fields(Record):
        values = [getattr(r, f.name) for r in records]
        if f.name in _MEASURED:
            known = [v for v in map(finite, values) if v is not None]
            means[f.name] = fmean(known) if known else None
        elif f.name == "main":
            means[f.name] = records[-1].main
        elif f.name not in ("metrics", "suspects"):
            means[f.name] = fmean(values) if all(math.isfinite(v) for v in values) else math.nan
    names = sorted({name for r in records for name in r.metrics})
    own = {name: [v for r in records if (v := finite(r.metrics.get(name))) is not None] for name in names}
    seen = {
        n: [r.suspects[n] for r in records if n in r.suspects] for n in sorted({n for r in records for n in r.suspects})
    }
    suspects = {n: (fmean(x for x, _ in said), fmean(x for _, x in said)) for n, said in seen.items()}
    return Record(**means, metrics={name: fmean(values) for name, values in own.items() if values}, suspects=suspects)


def common(histories: Sequence[Sequence[Record]]) -> list[tuple[Record, ...]]:
    """For every round that is in all histories, in order, the records of that round, one a history.

    A mean over the seeds that are left would jump whenever one ends: it is taken only where there are all.
    """
    if len(histories) == 1:
        return [(r,) for r in histories[0]]
    by_round = [{r.round: r for r in history} for history in histories]
    shared = set.intersection(*(set(rounds) for rounds in by_round)) if by_round else set()
    return [tuple(rounds[t] for rounds in by_round) for t in sorted(shared)]


def config_of(run: Run) -> str:
    """The settings file a run was made from; empty where there is none."""
    return run.config or ""


def without_seed(run: Run) -> str:
    """The same without its line for the seed."""
    return "\n".join(line for line in config_of(run).splitlines() if not _SEED.match(line))


def by_setting(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs that differ in nothing but the seed, together; labels are class names, numbered where settings share one.

    What counts is the program, the runtime, the number of nodes and, of runs made from a file, the file without its
    line for the seed.
    """
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        key = (run.name, repr(run.program), repr(run.runtime), run.nodes, without_seed(run))
        groups.setdefault(key, []).append(run)
    names = [group[0].name for group in groups.values()]
    labels = [f"{name} {names[: i + 1].count(name)}" if names.count(name) > 1 else name for i, name in enumerate(names)]
    return dict(zip(labels, groups.values(), strict=True))
