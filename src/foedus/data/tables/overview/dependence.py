"""How much one column tells of another: an effect between 0 and 1, and whether chance explains it.

Two columns of labels: Cramer's V, bias-corrected (Bergsma, 2013). Labels and a number: the root of eta squared on
ranks, whose (n - 1) eta^2 is Kruskal and Wallis's H. Both are chi-squared with known degrees of freedom where there is
no dependence.

Legend: S rows, K labels.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from foedus.data.tables.overview.column import Column

ROWS = 2_000
"""About so many rows are compared, of any two of many columns."""
SMALLEST = 0.1
"""An effect below this says nothing about whose rows they are, however many rows make it certain."""


def chi2_tail(x: float, freedom: int) -> float:
    """The probability that chi-squared exceeds ``x`` (Wilson and Hilferty, 1931).

    >>> round(chi2_tail(3.841, 1), 3), round(chi2_tail(18.307, 10), 3)
    (0.047, 0.05)
    """
    spread = 2 / (9 * freedom)
    return math.erfc((((x / freedom) ** (1 / 3)) - (1 - spread)) / math.sqrt(2 * spread)) / 2


def ranks(values_S: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0, the mean of them where values are equal."""
    _, place, rows = np.unique(values_S, return_inverse=True, return_counts=True)
    ends = np.cumsum(rows)
    mean: NDArray[np.float64] = (ends - rows + (rows - 1) / 2)[place.reshape(-1)]
    return mean


def of_number(labels_S: NDArray[np.int64], values_S: NDArray[np.float64]) -> tuple[float, float]:
    """``(effect, p)`` of labels on a number; rows where either is missing (-1, NaN) do not count."""
    there = (labels_S >= 0) & ~np.isnan(values_S)
    labels, values = labels_S[there], ranks(values_S[there])
    sizes = np.bincount(labels)
    groups = int((sizes > 0).sum())
    total = float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
    if groups < 2 or total == 0 or len(values) <= groups:
        return 0.0, 1.0
    sums = np.bincount(labels, values)[sizes > 0]
    sizes = sizes[sizes > 0]
    between = float((sums**2 / sizes).sum() - values.sum() ** 2 / len(values))
    eta2 = between / total
    p = chi2_tail((len(values) - 1) * eta2, groups - 1)
    unbiased = max(0.0, 1 - (1 - eta2) * (len(values) - 1) / (len(values) - groups))  # epsilon squared
    return math.sqrt(unbiased), p


def of_labels(a_S: NDArray[np.int64], b_S: NDArray[np.int64]) -> tuple[float, float]:
    """``(effect, p)`` of labels on labels; rows where either is missing (-1) do not count."""
    there = (a_S >= 0) & (b_S >= 0)
    table = crossed(a_S[there], b_S[there])
    n = table.sum()
    r, c = table.shape
    if n < 2 or min(r, c) < 2:
        return 0.0, 1.0
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / n
    chi2 = float(((table - expected) ** 2 / expected).sum())
    p = chi2_tail(chi2, (r - 1) * (c - 1))
    phi2 = max(0.0, chi2 / n - (r - 1) * (c - 1) / (n - 1))
    small = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return (math.sqrt(phi2 / small) if small > 0 else 0.0), p


def crossed(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often each label of one goes with each of the other; labels that are not there have no line."""
    rows, columns = (int(x.max()) + 1 if len(x) else 0 for x in (a, b))
    table = np.bincount(a * columns + b, minlength=rows * columns).reshape(rows, columns).astype(np.float64)
    return table[table.any(1)][:, table.any(0)]


def effect(of: Column, on: Column) -> tuple[float, float]:
    """``(effect, p)`` of a column of labels on any other, by a part of the sample."""
    step = max(1, len(of.labels_S) // ROWS)
    if on.kind == "number" and not on.few:
        return of_number(of.labels_S[::step], on.numbers_S[::step])
    return of_labels(of.labels_S[::step], on.labels_S[::step])


def determines(a: Column, b: Column) -> bool:
    """Whether rows that are alike in one column are alike in the other, as far as there are such rows.

    Half of the rows at least must have a twin: of values that are different in every row nothing follows.
    """
    there = (a.labels_S >= 0) & (b.labels_S >= 0)
    left, right = a.labels_S[there], b.labels_S[there]
    if not len(left):
        return False
    one_of = np.zeros(int(left.max()) + 1, np.int64)
    one_of[left] = right
    alone = int((np.bincount(left) == 1).sum())
    return bool((one_of[left] == right).all()) and alone * 2 <= len(left)
