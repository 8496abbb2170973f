"""Cells: halves and groups that rows fall into, so that a stopping point is chosen on other rows than it is judged on,
and a value's uncertainty is told by sums over groups.

A **unit** is what was drawn as one: a row, or all rows of a patient. Its number stays the same whatever else is drawn,
so that seeds and programs that judge a row find it in the same group. Everything follows from units and their classes;
nobody has to agree. This page knows no torch, so that a run can be looked at without it.

Legend: N rows.
"""

from __future__ import annotations

import numpy as np

GROUPS = 64
"""Groups of rows: the standard error that they tell is right to 9 per cent, one in the square root of twice as many."""

HALVES = 2
CELLS = HALVES * GROUPS


def cells(units_N: np.ndarray, strata_N: np.ndarray) -> np.ndarray:
    """The cell of each row, int64: ``half * GROUPS + group``.

    The group is the unit's alone, evenly spread. Halves have equally many units, to within one in each of the strata
    (whole numbers: a node and a class); which half a unit falls into depends on the others that are there. A unit with
    rows in several strata counts in that of its first row.
    """
    units, first, of_row = np.unique(units_N, return_index=True, return_inverse=True)
    group = (_mixed(units, _GROUP) % np.uint64(GROUPS)).astype(np.int64)
    mixed, strata = _mixed(units, _HALF), np.asarray(strata_N)[first]
    order = np.lexsort((mixed, strata))
    begins = np.flatnonzero(np.diff(strata[order], prepend=np.nan) != 0)
    sizes = np.diff(begins, append=len(units))
    place = np.arange(len(units)) - np.repeat(begins, sizes)
    # Who has one more is drawn as well: the one unit of a stratum may be in either half.
    turn = np.repeat((mixed[order[begins]] >> np.uint64(32)).astype(np.int64), sizes)
    half = np.empty(len(units), dtype=np.int64)
    half[order] = (place + turn) % HALVES
    return (half * GROUPS + group)[of_row.reshape(-1)]


_GROUP, _HALF = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03


def _mixed(units: np.ndarray, salt: int) -> np.ndarray:
    """64 well mixed bits of each unit: the last steps of SplitMix64 (Steele, Lea and Flood 2014)."""
    z = units.astype(np.int64).view(np.uint64) + np.uint64(salt)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
