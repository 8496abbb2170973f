"""Drawn: what a run keeps of an evaluation's statistics, so that they can be drawn; and how two halves of the rows are
drawn as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foedus.core.records.curves import Curves, Points
from foedus.core.types.ranking import Ranking
from foedus.core.types.statistics import CALIBRATION, CALIBRATION_BINS, CONFUSION, Statistics


class Drawn:
    """What some rows are drawn by, made when asked for: of their statistics, added up; or as a checkpoint said."""

    def __init__(self, *found: Statistics, said: dict[str, Any] | None = None) -> None:
        self._found, self._said = found, said

    @cached_property
    def tree(self) -> dict[str, Any] | None:
        """As a checkpoint holds it; None where there is nothing to draw.

        ``rows``; the points of the ``roc``; ``at_half``, the rows of either class that are above the probability 0.5,
        and all of them; ``bins`` and ``confusion`` as in ``Statistics``.
        """
        s = Statistics.sum(self._found)
        if not s.tensors:
            return self._said
        ranking = s.rankings[0] if len(s.rankings) == 1 and s.rankings[0].defined else None
        bins = None if ranking is None else s[CALIBRATION] if CALIBRATION in s else _bins(ranking)
        matrix = s[CONFUSION].tolist() if CONFUSION in s else None
        if ranking is None and matrix is None:
            return None
        return {
            "rows": s.rows,
            "roc": None if ranking is None else _roc(ranking),
            "at_half": None if ranking is None else [ranking.above(0.5), ranking.sizes],
            "bins": None if bins is None else bins.tolist(),
            "confusion": matrix,
        }


POINTS = 120
"""Points of a curve, at the most: as many as a small drawing can show."""


def curves(parts: Sequence[Drawn | None], round: int) -> Curves | None:
    """The curves of the rows of all parts; None where one has nothing to draw.

    Each part may be of another model, whose scores are of another scale: ROC curves are averaged by rows at each
    false positive rate (Fawcett 2006, section 8.1), so that the area is the mean of the areas; counts are added.
    """
    known = [p.tree for p in parts if p is not None]
    trees = [t for t in known if t is not None]
    if not trees or len(trees) < len(parts):
        return None
    rocs = [t["roc"] for t in trees if t["roc"]]
    ranked = len(rocs) == len(trees)
    bins, half = (_sum([t[k] for t in trees]) if ranked else None for k in ("bins", "at_half"))
    matrices = [t["confusion"] for t in trees]
    return Curves(
        round,
        sum(t["rows"] for t in trees),
        _averaged(rocs, [t["rows"] for t in trees]) if ranked else None,
        None if half is None else (_rounded(half[0, 0] / half[1, 0]), _rounded(half[0, 1] / half[1, 1])),
        None if bins is None else _said_and_found(bins),
        None if any(m is None for m in matrices) else _sum(matrices).tolist(),
    )


def _sum(each: Sequence[Any]) -> np.ndarray:
    return np.array(each, dtype=np.float64).sum(0)  # type: ignore[no-any-return]


def _averaged(rocs: Sequence[Sequence[Sequence[float]]], weights: Sequence[float]) -> Points:
    """The curves' mean at each false positive rate at which one of them has a corner."""
    if len(rocs) == 1:
        return [(x, y) for x, y in rocs[0]]
    at = sorted({x for roc in rocs for x, _ in roc})
    sides = [[_reached(roc, at, last) for last in (False, True)] for roc in rocs]
    y_2A = np.average(sides, axis=0, weights=weights)
    points = [(x, float(y)) for x, ys in zip(at, y_2A.T, strict=True) for y in ys]
    return _thinned(torch.tensor(points, dtype=torch.float64))


def _reached(roc: Sequence[Sequence[float]], at: Sequence[float], last: bool) -> np.ndarray:
    """The true positive rate where a curve comes to each false one, or where it leaves it (``last``)."""
    x, y = np.asarray(roc, dtype=np.float64).T
    found = np.interp(at, x, y)
    corner = np.isin(at, x)
    side = np.searchsorted(x, at, "right") - 1 if last else np.searchsorted(x, at, "left")
    return np.asarray(np.where(corner, y[np.clip(side, 0, len(y) - 1)], found))


def _roc(r: Ranking) -> Points:
    """Corners of the curve: where a rate changes."""
    false, true = (counted.flip(0) for counted in r.counted)
    x, y = false / r.sizes[0], true / r.sizes[1]
    points = torch.stack([x, y], 1)
    return _thinned(torch.cat([torch.zeros(1, 2, dtype=torch.float64), points]))


def _thinned(points: Tensor) -> Points:
    """Points that differ; of many the evenly spaced ones along the curve."""
    moved = torch.cat([torch.ones(1, dtype=torch.bool), points.diff(dim=0).abs().sum(1) > 0])
    points = points[moved]
    if len(points) > POINTS:
        along = torch.cat([torch.zeros(1, dtype=torch.float64), points.diff(dim=0).abs().sum(1).cumsum(0)])
        wanted = torch.linspace(0, float(along[-1]), POINTS, dtype=torch.float64)
        kept = torch.searchsorted(along, wanted).clamp(max=len(points) - 1).tolist()
        points = points[sorted(set(kept))]
    return [(_rounded(a), _rounded(b)) for a, b in points.tolist()]


def _bins(r: Ranking) -> Tensor:
    """``CALIBRATION`` of a ranking: a group's probability is that of its score, or of where its bin begins."""
    p = r.scores.double().sigmoid()
    bin_B = (p * CALIBRATION_BINS + 1e-9).long().clamp(max=CALIBRATION_BINS - 1)
    rows = r.negatives + r.positives
    sums = (torch.bincount(bin_B, v, CALIBRATION_BINS) for v in (rows, p * rows, r.positives))
    return torch.stack(list(sums))


def _said_and_found(bins: np.ndarray) -> list[tuple[float, float, float]]:
    return [(n, _rounded(said / n), _rounded(so / n)) for n, said, so in bins.T.tolist() if n > 0]


def _rounded(x: float) -> float:
    return round(float(x), 5)
