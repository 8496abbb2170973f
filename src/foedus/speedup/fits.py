"""Laws fitted to what was measured, all in closed form.

Legend: ``p`` processes, ``S`` how many times faster than one, ``f`` the share of the work that runs in parallel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foedus.core.errors import BadInput


def amdahl_fraction(ps: Sequence[float], speedups: Sequence[float]) -> float:
    """The ``f`` of Amdahl's law that is nearest to 1/S in least squares, within 0 and 1.

    1/S = 1 - f x with x = 1 - 1/p, so f = sum(x y) / sum(x x) with y = 1 - 1/S; one process says nothing.
    Errors: ``BadInput`` where no p is above 1, or a speed-up is not positive.

    >>> amdahl_fraction([1, 2, 4], [1.0, 1.6, 16 / 7])
    0.75
    """
    _check(ps, speedups)
    x = [1 - 1 / p for p in ps]
    y = [1 - 1 / s for s in speedups]
    return _share(_slope(x, y))


def gustafson_fraction(ps: Sequence[float], speedups: Sequence[float]) -> float:
    """The ``f`` of Gustafson's law that is nearest to S in least squares, within 0 and 1: S - 1 = f (p - 1).

    Errors: ``BadInput`` where no p is above 1, or a speed-up is not positive.

    >>> gustafson_fraction([1, 2, 4], [1.0, 1.75, 3.25])
    0.75
    """
    _check(ps, speedups)
    return _share(_slope([p - 1 for p in ps], [s - 1 for s in speedups]))


def nonnegative(columns: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """Factors ``c >= 0`` with the least squares of ``values - sum_k c_k columns_k``, relative to the values.

    Every subset of at most four columns is tried, so the answer is the best there is; a column of zeros gets 0.
    Errors: ``BadInput`` without values, or where a value is not positive (a time that was measured is).

    >>> nonnegative([(1, 1, 1), (1, 2, 3)], (3, 5, 7))
    [1.0, 2.0]
    """
    if not values or not all(0 < v < math.inf for v in values):
        raise BadInput(f"a fit needs positive finite values, got {list(values)}")
    y = np.asarray(values, dtype=np.float64)
    # Relative: a tenth of a millisecond matters at one millisecond, and not at a hundred.
    x = np.asarray(columns, dtype=np.float64).T / y[:, None]
    scale = np.abs(x).max(axis=0)
    used = [k for k in range(x.shape[1]) if scale[k] > 0]
    best, least = [0.0] * x.shape[1], float(len(y))
    for size in range(1, len(used) + 1):
        for chosen in itertools.combinations(used, size):
            found, error = _solved(x[:, chosen] / scale[list(chosen)])
            # Among equals the one with fewer factors was first, and stays.
            if found is not None and error < least - 1e-12:
                least, best = error, [0.0] * x.shape[1]
                for k, c in zip(chosen, found, strict=True):
                    best[k] = float(f"{c / scale[k]:.12g}")
    return best


def _solved(x: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, float]:
    ones = np.ones(len(x))
    solution, _, rank, _ = np.linalg.lstsq(x, ones, rcond=None)
    found: NDArray[np.float64] = solution.astype(np.float64)
    if rank < x.shape[1] or bool((found < 0).any()):
        return None, math.inf
    return found, float(((x @ found - ones) ** 2).sum())


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(x, y, strict=True)) / math.fsum(a * a for a in x)


def _share(f: float) -> float:
    return min(1.0, max(0.0, f))


def _check(ps: Sequence[float], speedups: Sequence[float]) -> None:
    if not any(p > 1 for p in ps):
        raise BadInput(f"a speed-up law needs a run with more than one process, got {list(ps)}")
    if not all(0 < s < math.inf for s in speedups):
        raise BadInput(f"a speed-up is a positive number, got {list(speedups)}")
