"""Drawn: what a run keeps of an evaluation's statistics, so that they can be drawn."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from foedus.core.records.curves import Curves, Points
from foedus.core.types.ranking import Ranking
from foedus.core.types.statistics import CALIBRATION, CALIBRATION_BINS, CONFUSION, Statistics


class Drawn:
    """Curves that are made when they are asked for: of an evaluation's statistics, or of what a checkpoint says."""

    def __init__(self, found: Statistics, round: int, said: dict[str, Any] | None = None) -> None:
        self._found, self._round, self._said = found, round, said

    @cached_property
    def tree(self) -> dict[str, Any] | None:
        """As a checkpoint holds them; None where there is nothing to draw."""
        if not self._found.tensors:
            return self._said
        made = curves(self._found, self._round)
        return None if made is None else made.as_tree()


POINTS = 120
"""Points of a curve, at the most: as many as a small drawing can show."""


def curves(s: Statistics, round: int) -> Curves | None:
    """The curves of some rows; None where the statistics hold nothing to draw."""
    ranking = s.rankings[0] if len(s.rankings) == 1 and s.rankings[0].defined else None
    bins = s[CALIBRATION] if CALIBRATION in s else None if ranking is None else _bins(ranking)
    matrix = s[CONFUSION].tolist() if CONFUSION in s else None
    if ranking is None and matrix is None:
        return None
    return Curves(
        round,
        s.rows,
        None if ranking is None else _roc(ranking),
        None if ranking is None else _rates(ranking, *ranking.above(0.5)),
        None if ranking is None or bins is None else _said_and_found(bins),
        matrix,
    )


def _rates(r: Ranking, false: float, true: float) -> tuple[float, float]:
    n0, n1 = r.sizes
    return _rounded(false / n0), _rounded(true / n1)


def _roc(r: Ranking) -> Points:
    """Corners of the curve: where a rate changes. Of many the evenly spaced ones along the curve."""
    false, true = (counted.flip(0) for counted in r.counted)
    x, y = false / r.sizes[0], true / r.sizes[1]
    points = torch.stack([x, y], 1)
    points = torch.cat([torch.zeros(1, 2, dtype=torch.float64), points])
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


def _said_and_found(bins: Tensor) -> list[tuple[float, float, float]]:
    return [(n, _rounded(said / n), _rounded(so / n)) for n, said, so in bins.t().tolist() if n > 0]


def _rounded(x: float) -> float:
    return round(x, 5)
