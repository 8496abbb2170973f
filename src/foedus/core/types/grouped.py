"""Grouped: what metrics are made of, by cells of rows, so that it is known how much each group of rows moves a value.

Scores lie in few bins here: values are made of finer statistics, and only what groups move them by is made of these.

Legend: N rows, G groups, H halves, K targets of a row, S scores that rows are ranked by, C classes, Q bins.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foedus.core.types.cells import CELLS, GROUPS, HALVES
from foedus.core.types.metric import LOSS, Metric
from foedus.core.types.ranking import edges, fall
from foedus.core.types.scoring import value
from foedus.core.types.statistics import (
    ACCURACY,
    BRIER,
    CALIBRATION,
    CALIBRATION_BINS,
    CONFUSION,
    ERRORS,
    LOG_LOSS,
    SCORES,
    Statistics,
    calibration_bin,
    classes_of,
    confused,
    in_own_unit,
    probabilities,
    right,
    sorted_columns,
)
from foedus.core.types.statistics import scored as of_scores

MANY = 16
"""Of more classes or scores than these a group would hold too many numbers: what is made of them has no interval."""


@dataclass(frozen=True)
class Grouped:
    """Sums by cell: each tensor begins with the cells (H * G, ...). Those of other rows are added with ``+``.

    Of few rows there are in the place of ``coarse`` the cells, classes and bins that they fall into (``places``
    (N, S), int32, each column sorted).

    ``rows``, ``loss``, ``accuracy``, ``brier``, ``log_loss`` (), ``confusion`` (C, C), ``calibration`` (3, bins),
    ``squared`` and ``absolute`` (K,) are as in ``Statistics``; ``targets`` (2, K) sums of targets and of their squares;
    ``coarse`` (S, 2, Q) rows by class and few bins of the score.
    """

    tensors: Mapping[str, Tensor]

    def __add__(self, other: Grouped) -> Grouped:
        return Grouped.sum([self, other])

    @staticmethod
    def sum(parts: Iterable[Grouped]) -> Grouped:
        """All of them together, added in order; of none there are none."""
        listed = [p.tensors for p in parts if p.tensors]
        if len(listed) < 2:
            return Grouped(listed[0] if listed else {})
        if not all("places" in t for t in listed):
            listed = [_counted(t) for t in listed]
        total = dict(listed[0])
        for t in listed[1:]:
            total = {k: v if k == "places" else v + t[k] for k, v in total.items() if k in t}
        if "places" in total:
            total["places"] = torch.cat([t["places"] for t in listed])
        return Grouped(_few(total))

    @cached_property
    def counted(self) -> Mapping[str, Tensor]:
        """The tensors, with counts in the place of where rows fall."""
        return _counted(self.tensors)

    @property
    def rows(self) -> tuple[float, ...]:
        """Rows of each half."""
        if "rows" not in self.tensors:
            return (0.0,) * HALVES
        return tuple(self.tensors["rows"].double().view(HALVES, GROUPS).sum(1).tolist())

    @property
    def rarest(self) -> int | None:
        """Rows of the rarest class; None where it is not known."""
        if "coarse" in self.counted:
            by_class = self.counted["coarse"].double().sum((0, 3))  # (S, 2)
            return int(by_class.min())
        if CONFUSION in self.tensors:
            return int(self.tensors[CONFUSION].double().sum((0, 2)).min())
        return None

    def deviations(self, measures: Sequence[Metric], halves: Sequence[int]) -> dict[str, np.ndarray]:
        """By metric, how much each group of the rows in these halves moves its value on them (G,).

        To first order it is the sum of the rows' influences, divided by the rows: what one more of the group's rows
        each would change the value by (the positive jackknife). A metric that is not defined, or not made of what is
        here, is not in it.
        """
        if not any(self.rows[h] for h in halves):
            return {}
        part = {k: t.double().view(HALVES, GROUPS, *t.shape[1:])[list(halves)].sum(0) for k, t in self.counted.items()}
        total = {k: t.sum(0) for k, t in part.items()}
        n, n_G = float(total["rows"]), part["rows"]
        filled = n_G.nonzero().flatten().tolist()
        placed = any(m.option is not None for m in measures)
        whole = _statistics(total, total, placed)
        more = {g: _statistics({k: t + part[k][g] for k, t in total.items()}, total, placed) for g in filled}
        found = {}
        for m in dict.fromkeys((*measures, LOSS)):
            at = value(m, whole) if _made_here(m, whole) else None
            if at is None:
                continue
            moved = np.zeros(GROUPS)
            for g in filled:
                then = value(m, more[g])
                if then is not None:
                    moved[g] = (then - at) * (1 + float(n_G[g]) / n)
            found[m.name] = moved
        return found


def by_cell(
    output: Tensor,
    y: Tensor,
    losses: Tensor,
    needs: frozenset[str],
    cells_N: Tensor,
    unit_K: Tensor | None,
    scored: Statistics | None = None,
) -> Grouped:
    """What the rows of each cell have; arguments as of ``measured``. ``scored``: the rows' scores, if they are there
    already.
    """
    fell: dict[str, Tensor] = {}
    out = {"rows": _count(cells_N), LOSS.name: _count(cells_N, losses.expand(len(y)))}
    if ACCURACY in needs:
        out[ACCURACY] = _count(cells_N, right(output, y))
    if ERRORS in needs:
        error, target = in_own_unit(output, y, unit_K)
        out["squared"], out["absolute"] = _sum(cells_N, error.square()), _sum(cells_N, error.abs())
        out["targets"] = _sum(cells_N, torch.stack([target, target.square()], 1))
    if needs & {BRIER, LOG_LOSS, CALIBRATION}:
        brier, log_loss, said, so = probabilities(output, y)
        if BRIER in needs:
            out[BRIER] = _count(cells_N, brier)
        if LOG_LOSS in needs:
            out[LOG_LOSS] = _count(cells_N, log_loss)
        if CALIBRATION in needs:
            places = cells_N * CALIBRATION_BINS + calibration_bin(said)
            sums = (_count(places, v, CALIBRATION_BINS) for v in (torch.ones_like(said), said, so))
            out[CALIBRATION] = torch.stack(list(sums), 1)
    if CONFUSION in needs:
        c = classes_of(output)
        if c <= MANY:
            places = cells_N * c * c + confused(output, y)
            out[CONFUSION] = _count(places, None, c * c).view(CELLS, c, c)
    if SCORES in needs:
        known = of_scores(output, y) if scored is None else scored
        found = known["scores"]
        if found.shape[1] <= MANY:
            limits = _limits()[0]
            place_NS = fall(found, known["labels"], limits)
            place_NS += 2 * (len(limits) + 1) * cells_N.numpy().astype(np.int32)[:, None]
            fell["places"] = sorted_columns(place_NS)
    # Counts are whole numbers that float32 has.
    return Grouped(_few({k: t.float() if k == CONFUSION else t.double() for k, t in out.items()} | fell))


def _few(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """With counts where there are more rows than these."""
    return _counted(tensors) if "places" in tensors and len(tensors["places"]) >= _places() else tensors


def _counted(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """With counts in the place of where rows fall."""
    if "places" not in tensors:
        return tensors
    each = [torch.bincount(column, None, _places()).view(CELLS, 2, -1) for column in tensors["places"].unbind(1)]
    return {k: t for k, t in tensors.items() if k != "places"} | {"coarse": torch.stack(each, 1).float()}


def _places() -> int:
    """How many there are for a row by one score."""
    return CELLS * 2 * (len(_limits()[0]) + 1)


def _count(places_N: Tensor, each_N: Tensor | None = None, size: int = 1) -> Tensor:
    counts = torch.bincount(places_N, None if each_N is None else each_N.double(), CELLS * size)
    return counts if size == 1 else counts.view(CELLS, size)


def _sum(cells_N: Tensor, each: Tensor) -> Tensor:
    return torch.zeros(CELLS, *each.shape[1:], dtype=torch.float64).index_add_(0, cells_N, each)


@functools.cache
def _limits() -> tuple[Tensor, Tensor]:
    """Where coarse bins end (Q - 1,), as log odds: close together where most scores lie; and for each coarse bin (Q,)
    one of the fine bins that ``edges`` makes, about in its middle.
    """
    steps = [(1.0, 0.05), (3.0, 0.1), (6.0, 0.25), (12.0, 1.0)]
    ends, at = [0.0], 0.0
    for until, step in steps:
        while at < until - 1e-9:
            at += step
            ends.append(at)
    upper = torch.tensor(ends, dtype=torch.float64)
    limits = torch.cat([-upper[1:].flip(0), upper])
    middles = torch.cat([limits[:1] - 1, (limits[:-1] + limits[1:]) / 2, limits[-1:] + 1])
    return limits, torch.bucketize(middles, edges(), right=True)


def _made_here(m: Metric, s: Statistics) -> bool:
    """Whether a metric is made of what is here: no function of the user's is, nor a median."""
    if m.function is not None:
        return False
    try:
        value(m, s)
    except KeyError:
        return False
    return True


def _statistics(sums: Mapping[str, Tensor], about: Mapping[str, Tensor], placed: bool = True) -> Statistics:
    """Sums as ``Statistics``, those that metrics are made of. ``placed``: the bins of scores are in the places of the
    fine ones; where only their order is asked for they are left as few as they are.
    """
    out: dict[str, Any] = {k: t for k, t in sums.items() if k not in ("targets", "coarse")}
    if "targets" in sums:
        mean = about["targets"][0] / about["rows"]
        squares = sums["targets"][1] - 2 * mean * sums["targets"][0] + sums["rows"] * mean.square()
        out["moments"] = torch.stack([mean, squares])
    if "coarse" in sums:
        out["histogram"] = sums["coarse"]
        if placed:
            fine = torch.zeros(*sums["coarse"].shape[:2], len(edges()) + 1, dtype=torch.float64)
            out["histogram"] = fine.index_add_(2, _limits()[1], sums["coarse"])
    return Statistics(out)
