"""Columns that say what is to be learned: a copy of the target, a function of it, or nearly so.

Legend: S sampled rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.dependence import determines, ranks
from foedus.data.tables.overview.target import MOST_LABELS

TOO_GOOD = 0.999
"""An area under the ROC curve, a share of rows, or a rank correlation that no honest column reaches alone."""
LEAST = 10
"""Rows of a class, or of a table, below which that may be chance."""


def leak(c: Column, target: Column) -> str | None:
    """Why a column is taken for the target in other words; None if it is not."""
    if target.few:
        return _of_classes(c, target)
    if target.kind == "number" and c.kind == "number":
        return _of_amounts(c, target)
    return None


def _of_classes(c: Column, target: Column) -> str | None:
    there = target.labels_S >= 0
    classes = target.labels_S[there]
    rows = np.bincount(classes)
    if rows[rows > 0].min() < LEAST:
        return None
    if c.missing and _auc_of_two((c.codes < 0)[there].astype(float), classes) >= TOO_GOOD:
        return "it is missing where the target has one value and there where it has the other"
    if c.kind not in ("number", "text") or c.distinct < 2 or c.missing * 2 > c.rows:
        return None
    if c.distinct <= MOST_LABELS:
        if determines(target, c):
            return "it is a function of the target: rows with the same target have the same here"
        share = _share_told(c.labels_S, target.labels_S)
        if share >= TOO_GOOD:
            return f"its value alone tells the target in {100 * share:.4g} % of rows"
    if c.kind == "number" and (auc := _auc_of_two(c.numbers_S[there], classes)) >= TOO_GOOD:
        return f"it alone tells the target's two values apart, with an AUC of {auc:.4f}"
    return None


def _share_told(a_S: NDArray[np.int64], target_S: NDArray[np.int64]) -> float:
    """The share of rows whose target is the commonest one of their label; 0 where labels have too few rows."""
    there = (a_S >= 0) & (target_S >= 0)
    a, y = a_S[there], target_S[there]
    if not len(a) or len(a) < LEAST * len(np.unique(a)):
        return 0.0
    table = np.zeros((int(a.max()) + 1, int(y.max()) + 1))
    np.add.at(table, (a, y), 1)
    return float(table.max(1).sum() / len(a))


def _auc_of_two(values: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """The area under the ROC curve of a number for two classes, whichever way round; 0 for other numbers of classes."""
    there = ~np.isnan(values)
    values, classes = values[there], classes[there]
    found, place = np.unique(classes, return_inverse=True)
    if len(found) != 2:
        return 0.0
    place = place.reshape(-1)
    ones = int(place.sum())
    zeros = len(place) - ones
    if min(ones, zeros) < LEAST:
        return 0.0
    auc = float((ranks(values)[place == 1].sum() - ones * (ones - 1) / 2) / (ones * zeros))
    return max(auc, 1 - auc)


def _of_amounts(c: Column, target: Column) -> str | None:
    there = ~np.isnan(c.numbers_S) & ~np.isnan(target.numbers_S)
    if there.sum() < 2 * LEAST or c.distinct <= 2:
        return None
    a, b = (ranks(x.numbers_S[there]) for x in (c, target))
    if a.std() == 0 or b.std() == 0:
        return None
    same = abs(float(np.corrcoef(a, b)[0, 1]))
    if same >= TOO_GOOD:
        return f"it orders the rows as the target does (rank correlation {same:.4f})"
    return None
