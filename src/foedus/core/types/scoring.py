"""Scoring: what metrics make of the statistics of some rows. What is not defined on them (a class that is not there, a
division by nothing) is None, never 0 and never NaN.

Legend: C classes, B groups of rows with like scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.metric import LOSS, Metric
from foedus.core.types.ranking import Ranking
from foedus.core.types.statistics import (
    ACCURACY,
    BRIER,
    CALIBRATION,
    CONFUSION,
    DEVIATIONS,
    ERRORS,
    LOG_LOSS,
    PER_OCTAVE,
    RAW,
    SCORES,
    SMALLEST,
    Statistics,
)


def needs(metrics: Iterable[Metric]) -> frozenset[str]:
    """What statistics these metrics are made of, beside the loss."""
    return frozenset(
        RAW if m.function is not None else SCORES if m.option is not None else _MADE[m.kind][0]
        for m in metrics
        if m.kind != LOSS.kind
    )


def values(metrics: Iterable[Metric], s: Statistics) -> dict[str, float]:
    """Loss and metrics by name; those that are not defined on these rows, or whose statistics are not there, are not in
    it. Errors: ``BadInput`` for a function of the user's that raises, or answers no number.
    """
    if s.rows <= 0:
        return {}
    found = {LOSS.name: float(s["loss"]) / s.rows}
    for m in metrics:
        v = value(m, s)
        if v is not None:
            found[m.name] = v
    return found


def value(m: Metric, s: Statistics) -> float | None:
    """One metric; None where it is not defined. Errors: as ``values``."""
    if s.rows <= 0:
        return None
    if m.function is not None:
        return _own(m, s) if "outputs" in s else None
    if m.kind == LOSS.kind:
        return float(s["loss"]) / s.rows
    if m.option is not None:
        return _at(m, s) if (r := _only(s)) is not None and r.defined else None
    made = _MADE[m.kind][1](s)
    return None if made is None or not math.isfinite(made) else made


def _own(m: Metric, s: Statistics) -> float | None:
    try:
        found: Any = m(s["outputs"], s["targets"])
    except Exception as e:
        first = (str(e).strip().splitlines() or ["no message"])[0]
        raise BadInput(
            f"the metric {m.name} raised {type(e).__name__}: {first}; where it is not defined it may return None"
        ) from e
    if found is None:
        return None
    try:
        made = float(found)
    except (TypeError, ValueError) as e:
        raise BadInput(
            f"the metric {m.name} must return one number, or None where it is not defined; it returned {found!r}"
        ) from e
    return made if math.isfinite(made) else None


def rarest(*parts: Statistics) -> int | None:
    """How many rows of these parts there are of the class that has fewest; None where rows are not counted by class."""
    if any(CONFUSION in s for s in parts):
        return int(sum(s[CONFUSION].sum(1) for s in parts if s.tensors).min())
    found = [s.by_class for s in parts if s.tensors]
    if not found or not found[0]:
        return None
    each = [[sum(sizes) for sizes in zip(*of_score, strict=True)] for of_score in zip(*found, strict=True)]
    return int(min(each[0]) if len(each) == 1 else min(ones for _, ones in each))


def _only(s: Statistics) -> Ranking | None:
    """The ranking by the only score; None where there is another number of them."""
    return s.rankings[0] if len(s.rankings) == 1 else None


def _mean(found: Iterable[float | None]) -> float | None:
    known = [v for v in found if v is not None]
    return fmean(known) if known else None


def _by_rows(s: Statistics) -> float | None:
    """The classes' areas, each against the rest, by the rows of the class; of all classes that are there."""
    found = zip(s.areas, (ones for _, ones in s.by_class), strict=True)
    known = [(v, n) for v, n in found if v is not None]
    return sum(v * n for v, n in known) / sum(n for _, n in known) if known else None


def _at(m: Metric, s: Statistics) -> float | None:
    """A measure of two classes with a cut of its own."""
    r = _only(s)
    assert m.option is not None
    assert r is not None
    option, given = m.option
    if option == "threshold":
        (n0, n1), (fp, tp) = r.sizes, r.above(given)
        table = torch.tensor([[n0 - fp, fp], [n1 - tp, tp]], dtype=torch.float64)
        return _MADE[m.kind][1](Statistics({CONFUSION: table, "rows": n0 + n1, ACCURACY: table.trace().item()}))
    return r.best_at(given, of_negatives=option == "specificity")


# -- what comes of a confusion matrix ----------------------------------------------------------------------------------


def _ratio(a: float | Tensor, b: float | Tensor) -> float | None:
    return float(a) / float(b) if float(b) > 0 else None


def _precision(s: Statistics) -> float | None:
    m = s[CONFUSION]
    return _ratio(m[1, 1], m[:, 1].sum())


def _recall(s: Statistics, of: int = 1) -> float | None:
    m = s[CONFUSION]
    return _ratio(m[of, of], m[of].sum())


def _f1(s: Statistics) -> float | None:
    m = s[CONFUSION]
    return _ratio(2 * m[1, 1], m[1].sum() + m[:, 1].sum())


def _balanced(s: Statistics) -> float | None:
    return _mean(_recall(s, k) for k in range(len(s[CONFUSION])))


def _averaged(s: Statistics, what: str, by_rows: bool) -> float | None:
    """Over the classes that are there or were predicted, as scikit-learn does it: one that was never predicted, or is
    not there, counts 0."""
    m = s[CONFUSION]
    hit, true, predicted = m.diagonal(), m.sum(1), m.sum(0)
    below = {"precision": predicted, "recall": true, "f1": (true + predicted) / 2}[what]
    each = torch.where(below > 0, hit / below.clamp_min(1e-300), 0.0)
    weight = true if by_rows else ((true + predicted) > 0).double()
    return _ratio((each * weight).sum(), weight.sum())


def _kappa(s: Statistics) -> float | None:
    """Agreement beyond what chance would give (Cohen 1960)."""
    m = s[CONFUSION]
    n = m.sum()
    chance = float((m.sum(0) * m.sum(1)).sum() / n**2)
    return (float(m.trace() / n) - chance) / (1 - chance) if chance < 1 else None


def _mcc(s: Statistics) -> float | None:
    """Matthews' correlation, of several classes as Gorodkin (2004) has it."""
    m = s[CONFUSION]
    n, true, predicted = m.sum(), m.sum(1), m.sum(0)
    below = (n**2 - predicted.square().sum()) * (n**2 - true.square().sum())
    return float((m.trace() * n - true @ predicted) / below.sqrt()) if float(below) > 0 else None


def _calibration_error(s: Statistics) -> float | None:
    """How far what was said is from what was found, over even bins of the probability, by rows (Guo et al. 2017)."""
    rows, said, so = s[CALIBRATION]
    return _ratio((said - so).abs().sum(), rows.sum())


# -- what comes of errors ----------------------------------------------------------------------------------------------


def _per_row(s: Statistics, name: str) -> float:
    return float(s[name]) / s.rows


def _mse(s: Statistics) -> float:
    return float(s["squared"].mean()) / s.rows


def _r2(s: Statistics) -> float | None:
    """1 less the squared error by that of the targets' mean; over several targets the mean."""
    return _mean(
        None if float(around) <= 0 else 1 - float(error) / float(around)
        for error, around in zip(s["squared"], s["moments"][1], strict=True)
    )


def _median(s: Statistics) -> float | None:
    """Of the sizes of errors; over several targets the mean of their medians."""
    if "deviations" in s:
        weights = s["weights"] if "weights" in s else torch.ones(len(s["deviations"]), dtype=torch.float64)
        sorted_K = (column.sort() for column in s["deviations"].unbind(1))
        return _mean(_middle(size, weights[order]) for size, order in sorted_K)
    counts_K = s.counted()["sizes"]
    places = torch.arange(counts_K.shape[1] - 1, dtype=torch.float64)
    middles = torch.exp2((places + 0.5) / PER_OCTAVE + SMALLEST)
    sizes = torch.cat([torch.zeros(1, dtype=torch.float64), middles])
    return _mean(_middle(sizes, counts) for counts in counts_K)


def _middle(ascending: Tensor, weights: Tensor) -> float | None:
    """The median: where half the weight lies below, and between two values the middle of them."""
    below = weights.cumsum(0)
    half = float(below[-1]) / 2
    if half <= 0:
        return None
    low = int(torch.searchsorted(below, half))
    high = int(torch.searchsorted(below, half, right=True))
    return (float(ascending[low]) + float(ascending[min(high, len(ascending) - 1)])) / 2


_MADE: dict[str, tuple[str, Callable[[Statistics], float | None]]] = {
    "accuracy": (ACCURACY, partial(_per_row, name=ACCURACY)),
    "balanced_accuracy": (CONFUSION, _balanced),
    "precision": (CONFUSION, _precision),
    "recall": (CONFUSION, _recall),
    "sensitivity": (CONFUSION, _recall),
    "specificity": (CONFUSION, partial(_recall, of=0)),
    "f1": (CONFUSION, _f1),
    **{
        f"{what}_{how}": (CONFUSION, partial(_averaged, what=what, by_rows=how == "weighted"))
        for what in ("precision", "recall", "f1")
        for how in ("macro", "weighted")
    },
    "kappa": (CONFUSION, _kappa),
    "mcc": (CONFUSION, _mcc),
    "auc": (SCORES, lambda s: _mean(s.areas)),
    "auc_ovr": (SCORES, lambda s: _mean(s.areas)),
    "auc_ovr_weighted": (SCORES, _by_rows),
    "average_precision": (SCORES, lambda s: _mean(r.average_precision for r in s.rankings)),
    "brier": (BRIER, partial(_per_row, name=BRIER)),
    "log_loss": (LOG_LOSS, partial(_per_row, name=LOG_LOSS)),
    "calibration_error": (CALIBRATION, _calibration_error),
    "rmse": (ERRORS, lambda s: math.sqrt(_mse(s))),
    "mse": (ERRORS, _mse),
    "mae": (ERRORS, lambda s: float(s["absolute"].mean()) / s.rows),
    "median_absolute_error": (DEVIATIONS, _median),
    "r2": (ERRORS, _r2),
}
