"""Columns that say what is to be learned, and good columns that do not."""

import numpy as np
import pytest

from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Reading
from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.leaks import leak

R = np.random.default_rng(1)
Y = R.integers(0, 2, 400)
NUM = R.integers(0, 5, 400)
PRICE = np.round(R.lognormal(12, 0.5, 400))


def column(values, name="c"):
    return Column(name, Cells.of(list(values), Reading()), None)


@pytest.mark.parametrize(
    ("values", "target", "said"),
    {
        "a copy": (np.where(Y, "ill", "well"), Y, "function of the target"),
        "what the target was made of": (NUM, NUM > 0, "its value alone"),
        "what was made of the target": (NUM > 0, NUM, "function of the target"),
        "a number that separates": (Y * 10 + R.normal(size=400), Y, "AUC of 1"),
        "there only where it is true": (np.where(Y, R.normal(size=400), None), Y, "missing where"),
        "the same in another currency": (np.round(PRICE * 1.09), PRICE, "rank correlation 1.0000"),
        "a good column": (2 * Y + R.normal(size=400), Y, None),
        "a good category": (np.where(R.random(400) < 0.97, Y, 1 - Y), Y, None),
        "names": ([f"n{i}" for i in range(400)], Y, None),
        "a good number for a number": (PRICE * R.uniform(0.8, 1.2, 400), PRICE, None),
        "two values for a number": (PRICE > 150_000, PRICE, None),
        "the same everywhere": (["x"] * 400, Y, None),
    }.values(),
)
def test_a_leak_is_told_from_a_good_column(values, target, said):
    why = leak(column(values), column(target))
    assert (why is None) == (said is None), why
    assert said is None or said in why


def test_a_few_rows_prove_nothing():
    assert leak(column([1, 2, 3, 4, 5, 6]), column([0, 0, 0, 1, 1, 1])) is None
