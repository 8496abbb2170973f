"""Dependence between columns: closed forms, and no more false alarms than were asked for."""

import numpy as np
import pytest

from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Reading
from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.dependence import chi2_tail, determines, effect, of_labels, of_number, ranks


def column(values, name="c"):
    return Column(name, Cells.of(list(values), Reading()), None)


@pytest.mark.parametrize(
    ("x", "freedom", "p"), [(3.841, 1, 0.05), (9.488, 4, 0.05), (13.277, 4, 0.01), (124.34, 100, 0.05)]
)
def test_the_tail_of_chi_squared_is_that_of_its_tables(x, freedom, p):
    assert chi2_tail(x, freedom) == pytest.approx(p, rel=0.1)


def test_two_by_two_is_the_root_of_phi_squared():
    # 30 10 / 10 30: chi2 = 20, phi^2 = 0.25, less the bias of one degree of freedom, 1 / 79.
    a = np.repeat([0, 0, 1, 1], [30, 10, 10, 30])
    b = np.repeat([0, 1, 0, 1], [30, 10, 10, 30])
    v, p = of_labels(a, b)
    unbiased = 2 - 1 / 79
    assert v == pytest.approx(((0.25 - 1 / 79) / (unbiased - 1)) ** 0.5)
    assert 1e-6 < p < 3e-5  # 7.7e-6: the approximation is on the safe side where it matters least


def test_what_is_labels_and_number_is_a_share_of_the_ranks_variance():
    labels, values = np.repeat([0, 1], 50), np.arange(100.0)
    size, p = of_number(labels, values)
    eta2 = 625 / 833.25  # both halves are 25 from the mean, and 0 to 99 have this variance
    assert size**2 == pytest.approx(1 - (1 - eta2) * 99 / 98)
    assert p < 1e-10
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0.0, 2.5, 1.0]


def test_chance_is_taken_for_dependence_as_often_as_is_said():
    r = np.random.default_rng(0)
    labels = [r.integers(0, 6, 300) for _ in range(400)]
    alarms = sum(of_number(a, r.normal(size=300))[1] < 0.05 for a in labels)
    alarms += sum(of_labels(a, r.integers(0, 4, 300))[1] < 0.05 for a in labels)
    assert abs(alarms - 40) < 3 * (800 * 0.05 * 0.95) ** 0.5


def test_missing_cells_take_no_part():
    labels = column([None, *"aabb"] * 20)
    assert effect(labels, column([9, 1, None, 2, 2] * 20))[0] == pytest.approx(1)
    assert effect(labels, column([None] * 99 + [1])) == (0.0, 1.0)


def test_a_code_determines_its_name_and_a_name_that_is_not_twice_determines_nothing():
    code, name = column([1, 2, 3, 4] * 10), column(["x", "y", "x", "y"] * 10)
    assert determines(code, name)
    assert not determines(name, code)
    assert not determines(column(range(40)), name)
