"""Judging: at which commit a run is judged, kept from commit to commit, and what was measured there.

Where there are rows to choose on beside those that are reported on, the round is chosen on the ones and reported on the
others. Where there is one hold-out, it is crossed: each half of it is reported on in the round that the other half
chose, so that no row has a say in the round that it is judged in, and none is lost. Training rows choose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np

from foedus.core.coordination.drawn import Drawn, curves
from foedus.core.records.curves import Curves
from foedus.core.records.judged import Judged, Measured, as_bytes
from foedus.core.records.run import Record
from foedus.core.types.cells import GROUPS, HALVES
from foedus.core.types.grouped import Grouped
from foedus.core.types.metric import LOSS, QUALITY, Metric, named
from foedus.core.types.statistics import Statistics

Values = Mapping[str, float]

PARTS: tuple[tuple[int, ...], ...] = ((0,), (1,), (0, 1))
"""Of the rows: either half, and all."""
ALL = 2
"""The place of all rows among the parts."""


class Found(dict[str, float]):
    """Loss and metrics on some rows by name, as a dict; and what the run is judged by.

    ``halves``   the same on each half of the rows; none where rows are in no halves.
    ``grouped``  what groups of rows have, by model: a value is the mean over these models.
    ``statistics``  what the values were made of, of either half; or of all rows, where they are in no halves.
    """

    def __init__(
        self,
        values: Values,
        halves: Sequence[Values] = (),
        grouped: Sequence[Grouped] = (),
        statistics: Sequence[Statistics] = (),
    ) -> None:
        super().__init__(values)
        self.halves, self.grouped, self.statistics = tuple(halves), tuple(grouped), tuple(statistics)

    @staticmethod
    def of(values: Values) -> Found:
        """What a program has measured by itself."""
        return values if isinstance(values, Found) else Found(values)


def mean_of(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over several models, each measured on the same rows; over those for which a metric is defined."""
    means = _means(found)
    if not all(isinstance(f, Found) and len(f.halves) == HALVES for f in found):
        return means
    each: list[Found] = [f for f in found if isinstance(f, Found)]
    halves = [_means([f.halves[h] for f in each]) for h in range(HALVES)]
    return Found(means, halves, [g for f in each for g in f.grouped])


def _means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(k for f in found for k in f)
    return {k: fmean(f[k] for f in found if k in f) for k in names}


@dataclass(frozen=True)
class Point:
    """One commit as it was measured: values on either half and on all rows, and how groups of rows move these.

    ``known``  deviations by part and metric, where ``grouped``, which they are made of, is no more.
    ``drawn``  what each part is drawn by; None where it will not be asked for.
    """

    round: int
    values: tuple[Values, ...]
    rows: tuple[float, ...]
    rarest: int | None
    grouped: tuple[Grouped, ...] = field(default=(), compare=False)
    known: tuple[Mapping[str, np.ndarray], ...] | None = None
    drawn: tuple[Drawn | None, ...] = field(default=(None,) * len(PARTS), compare=False)

    @staticmethod
    def of(round: int, found: Found) -> Point:
        """What was found in a round."""
        rows = found.grouped[0].rows if found.grouped else (0.0,) * HALVES
        rarest = found.grouped[0].rarest if found.grouped else None
        halves = found.halves if len(found.halves) == HALVES else ({},) * HALVES
        s = found.statistics
        each = tuple(map(Drawn, s)) if len(s) == HALVES else (None,) * HALVES
        drawn = (*each, Drawn(*s) if s else None)
        return Point(round, (*halves, dict(found)), rows, rarest, found.grouped, drawn=drawn)

    def deviations(self, part: int, measures: Sequence[Metric]) -> Mapping[str, np.ndarray]:
        """How groups of the rows of a part move its values, by metric (G,), float32: as it is written down."""
        if self.known is not None:
            return self.known[part]
        each = [g.deviations(measures, PARTS[part]) for g in self.grouped]
        common = [m for m in (each[0] if each else {}) if all(m in e for e in each)]
        return {m: np.mean([e[m] for e in each], axis=0).astype(np.float32) for m in common}

    def measured_out(self, measures: Sequence[Metric]) -> Point:
        """With all its deviations, in the place of what they are made of, so that it is small."""
        if self.known is not None:
            return self
        known = tuple(self.deviations(part, measures) for part in range(len(PARTS)))
        return replace(self, grouped=(), known=known)

    def as_tree(self, drawn: Sequence[int]) -> dict[str, Any]:
        """For the checkpoint; ``drawn``: parts that may be asked for."""
        trees = [d.tree if d is not None and part in drawn else None for part, d in enumerate(self.drawn)]
        return {
            "round": self.round,
            "values": [dict(v) for v in self.values],
            "rows": list(self.rows),
            "rarest": self.rarest,
            "grouped": [dict(g.tensors) for g in self.grouped],
            "known": None if self.known is None else [{m: as_bytes(d) for m, d in p.items()} for p in self.known],
            "drawn": trees,
        }

    @staticmethod
    def from_tree(tree: Mapping[str, Any]) -> Point:
        """What ``as_tree`` said."""
        known = tree["known"]
        return Point(
            round=tree["round"],
            values=tuple(tree["values"]),
            rows=tuple(tree["rows"]),
            rarest=tree["rarest"],
            grouped=tuple(Grouped(t) for t in tree["grouped"]),
            known=None
            if known is None
            else tuple({m: np.frombuffer(d, dtype="<f4") for m, d in part.items()} for part in known),
            drawn=tuple(None if t is None else Drawn(said=t) for t in tree.get("drawn") or (None,) * len(PARTS)),
        )


@dataclass(frozen=True)
class Judging:
    """What is kept of a run's commits so far.

    ``chosen``    the commit that each half of the rows would choose (crossed), or that the rows to choose on have
                  chosen; with what it was chosen by.
    ``last``      the last commit that was evaluated.
    """

    how: str = "last"
    chosen: tuple[tuple[Point, Values], ...] = ()
    last: Point | None = None

    def after(self, round: int, found: Found, by: Values | None, measures: Sequence[Metric]) -> Judging:
        """With one more commit. ``by``: what it is on rows to choose on, where there are such beside the reported."""
        loss = found.get(LOSS.name)
        if loss is not None and not math.isfinite(loss):  # there is nothing to choose in a model that has diverged
            return self
        point = Point.of(round, found)
        votes: tuple[Values, ...]
        if by is not None:
            how, votes = "held out", (by,)
        elif len(found.halves) == HALVES and all(found.halves):
            how, votes = "crossed", found.halves
        else:
            return Judging("last", (), point)
        if how != self.how:  # it begins, or is measured otherwise from now on
            return Judging(how, tuple((point, v) for v in votes), point)
        chosen = tuple(
            (point, now) if better(now, before, measures) else (kept, before)
            for now, (kept, before) in zip(votes, self.chosen, strict=True)
        )
        return Judging(how, chosen, point)

    def judged(self, measures: Sequence[Metric]) -> Judged | None:
        """The judged point, and what was measured there and at the last commit on the same rows."""
        if self.last is None:
            return None
        last = self.last
        points = [p for p, _ in self.chosen] or [last]
        rounds = tuple(sorted({p.round for p in points}))
        if len(rounds) == 1:
            here, end = (_on(p, ALL, measures) for p in (points[0], last))
        else:
            # The half that chose a commit is not the one that it is judged on.
            here, end = _crossed(points[0], points[1], measures), _crossed(last, last, measures)
        by = next((m.name for m in _ordered(measures) if all(m.name in v for _, v in self.chosen)), LOSS.name)
        rows = round(sum(last.rows))
        return Judged(rounds, self.how, by, rows, last.rarest, here, end)

    @property
    def best(self) -> int | None:
        """The round whose model stands for the run; None before the first that was evaluated.

        Where halves of the rows chose two, it is the first half's: drawn by lot before anybody had looked, so that
        what is reported, the mean of both, is no better than what is to be expected of it.
        """
        stands = self.chosen[0][0] if self.chosen else self.last
        return None if stands is None else stands.round

    @property
    def _apart(self) -> bool:
        """Whether halves of the rows chose two rounds."""
        return len({p.round for p, _ in self.chosen}) > 1

    def _drawn_by(self, k: int) -> tuple[int, ...]:
        """The part of the rows that the k-th chosen point is drawn by, and others by which it may have to be."""
        # The half that chose a commit is not the one that it is judged on.
        return (1 - k,) if self._apart else (ALL, 1 - k) if len(self.chosen) == HALVES else (ALL,)

    def curves(self) -> dict[str, Curves | None]:
        """Those of the judged point, and of the last commit that was evaluated, of all rows."""
        if self.last is None:
            return {}
        points = [p for p, _ in self.chosen] or [self.last]
        parts = [p.drawn[self._drawn_by(k)[0]] for k, p in enumerate(points)]
        judged = curves(parts if self._apart else parts[:1], max(p.round for p in points))
        return {"judged": judged, "last": curves([self.last.drawn[ALL]], self.last.round)}

    def measured_out(self, measures: Sequence[Metric], ended: bool) -> Judging:
        """As it is written down: small, with deviations in the place of what they are made of. Of a last commit that is
        not chosen they are needed only where the run has ended; else only its values are kept.
        """
        found = {p.round: p.measured_out(measures) for p, _ in self.chosen}
        last = self.last
        if last is not None:
            last = found.get(last.round) or (last.measured_out(measures) if ended else replace(last, grouped=()))
        return replace(self, chosen=tuple((found[p.round], v) for p, v in self.chosen), last=last)

    def as_tree(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {
            "how": self.how,
            "chosen": [[p.as_tree(self._drawn_by(k)), dict(v)] for k, (p, v) in enumerate(self.chosen)],
            "last": None if self.last is None else self.last.as_tree((ALL,)),
        }

    @staticmethod
    def from_tree(tree: Mapping[str, Any] | None) -> Judging:
        """What ``as_tree`` said; of a checkpoint that says nothing, that of a run which begins."""
        if tree is None:
            return Judging()
        chosen = tuple((Point.from_tree(p), v) for p, v in tree["chosen"])
        return Judging(tree["how"], chosen, None if tree["last"] is None else Point.from_tree(tree["last"]))


def reported(record: Record, judged: Judged) -> Record:
    """The record of a run's best round with what is reported of it: values on rows that had no say in the choice."""
    if judged.rounds == (record.round,):
        return record
    values = judged.here.values
    loss, accuracy, auc, rmse = (values.get(name) for name in ("loss", "accuracy", "auc", "rmse"))
    others: dict[str, int | float] = {name: v for name, v in values.items() if name not in QUALITY}
    return replace(record, loss=loss, accuracy=accuracy, auc=auc, rmse=rmse, metrics=others)


def better(now: Values, before: Values, measures: Sequence[Metric]) -> bool:
    """Whether values beat others by the main metric; where they are equal in that, by the loss.

    The main metric is the first of these that either has; where it is none, the first of accuracy, AUC, RMSE and loss.

    >>> better({"accuracy": 0.9, "loss": 0.4}, {"accuracy": 0.9, "loss": 0.5}, ())
    True
    """
    main = next((m for m in _ordered(measures) if m.name in now or m.name in before), None)
    for m in dict.fromkeys((main, LOSS)):
        if m is None:
            continue
        new, old = now.get(m.name), before.get(m.name)
        if new is None or new != new:
            return False
        if old is None or old != old:
            return True
        if new != old:
            return new > old if m.higher else new < old
    return False


def _ordered(measures: Sequence[Metric]) -> list[Metric]:
    return [*measures, *(named(name) for name in QUALITY)]


def _on(point: Point, part: int, measures: Sequence[Metric]) -> Measured:
    found = point.deviations(part, measures)
    return Measured(dict(point.values[part]), {m: as_bytes(d) for m, d in found.items()})


def _crossed(a: Point, b: Point, measures: Sequence[Metric]) -> Measured:
    """The second half of the rows as the first point has it, and the first half as the second: their mean by rows."""
    parts = ((a, 1), (b, 0))
    rows = [p.rows[half] for p, half in parts]
    shares = [r / sum(rows) if sum(rows) else 1 / HALVES for r in rows]
    values = [p.values[half] for p, half in parts]
    known = [p.deviations(half, measures) for p, half in parts]
    names = [m for m in values[0] if m in values[1]]
    return Measured(
        {m: sum(s * v[m] for s, v in zip(shares, values, strict=True)) for m in names},
        {
            m: as_bytes(sum((s * k[m] for s, k in zip(shares, known, strict=True)), np.zeros(GROUPS)))
            for m in names
            if all(m in k for k in known)
        },
    )
