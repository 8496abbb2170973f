"""Halves and groups of rows: they follow from the rows, halves are even in every stratum, groups evenly spread."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.types.cells import GROUPS, cells

UNITS = st.lists(st.tuples(st.integers(-(2**62), 2**62), st.integers(0, 3)), max_size=60)


@given(UNITS, st.randoms(use_true_random=False))
def test_cells_follow_from_the_rows_in_any_order(rows, rng):
    units, strata = (np.array([r[i] for r in rows], dtype=np.int64) for i in (0, 1))
    _, first = np.unique(units, return_index=True)
    strata = strata[first][np.searchsorted(units[first], units)]  # a unit counts as of one stratum
    found = cells(units, strata)
    order = np.array(rng.sample(range(len(rows)), len(rows)), dtype=np.int64)
    assert (cells(units[order], strata[order]) == found[order]).all()


@given(UNITS)
def test_a_unit_is_in_one_cell_and_halves_are_even_in_every_stratum(rows):
    units, strata = (np.array([r[i] for r in rows], dtype=np.int64) for i in (0, 1))
    found = cells(units, strata)
    units, first = np.unique(units, return_index=True)
    for unit in units:
        assert len(set(found[np.array([r[0] for r in rows]) == unit])) == 1
    half, of = found[first] // GROUPS, strata[first]
    for stratum in set(of):
        ones = int(half[of == stratum].sum())
        assert abs(2 * ones - int((of == stratum).sum())) <= 1


def test_a_group_is_the_units_alone_and_all_are_of_a_size():
    many = cells(np.arange(64_000), np.zeros(64_000, dtype=np.int64)) % GROUPS
    few = cells(np.arange(0, 64_000, 7), np.arange(0, 64_000, 7) % 3) % GROUPS
    assert (many[::7] == few).all()
    sizes = np.bincount(many, minlength=GROUPS)
    assert abs(sizes - 1000).max() < 5 * np.sqrt(1000)
    alone = [int(cells(np.array([u]), np.array([0]))[0] // GROUPS) for u in range(400)]
    assert 140 < sum(alone) < 260  # a single row is in either half
