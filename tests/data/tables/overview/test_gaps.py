"""What stands apart from a column's numbers, and what does not."""

import numpy as np
import pytest
import sklearn.datasets

from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Reading
from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.gaps import absent, gap, where

R = np.random.default_rng(0)


def column(values, name="c"):
    return Column(name, Cells.of(list(values), Reading()), None)


def chol(n=300):
    return np.round(R.normal(240, 45, n)).astype(int)


@pytest.mark.parametrize(
    ("values", "found"),
    {
        "cholesterol of 0": ([*chol(), *[0] * 40], ("0",)),
        "a single 0": ([*chol(), 0], ("0",)),
        "insulin of 0, in most rows": ([*np.round(14 + R.gamma(2, 60, 200)), *[0] * 300], ("0",)),
        "a body mass index of 0": ([*np.round(R.normal(31, 6, 300), 1), *[0] * 11], ("0",)),
        "-9 beside 0 to 3": ([*R.integers(0, 4, 200), *[-9] * 100], ("-9",)),
        "9 beside 1 to 3": ([*R.integers(1, 4, 200), *[9] * 12], ("9",)),
        "-9 beside no and yes": ([*R.integers(0, 2, 300), *[-9] * 80], ("-9",)),
        "9 beside no and yes, rarely yes": ([*[1] * 20, *[2] * 300, *[9] * 5], ("9",)),
        "-1, 0 and 1": (R.integers(-1, 2, 300), None),
        "no dose, a low one, a high one": (R.choice([0, 20, 24], 300), None),
        "a single 9 beside no and yes": ([*R.integers(0, 2, 300), 9], None),
        "-1 and 999 at once": ([*R.integers(18, 90, 300), *[-1] * 10, *[999] * 5], ("-1", "999")),
        "a single 99": ([*R.integers(20, 70, 200), 99], None),
        "children": (R.integers(0, 6, 300), None),
        "oldpeak, zero in half of the rows": ([*[0] * 150, *np.round(R.gamma(2, 0.6, 150), 1) + 0.1], None),
        "gains, nearly always 0": ([*[0] * 900, *np.round(R.lognormal(8.5, 1.5, 100))], None),
        "a bell about 0": (np.round(R.normal(0, 1, 300), 2), None),
        "labels -1 and 1": (R.choice([-1, 1], 300), None),
        "grades 0 to 9": (R.integers(0, 10, 300), None),
        "shares up to 99": (R.integers(0, 100, 300), None),
        "one value": ([7] * 30, None),
    }.values(),
)
def test_codes_are_told_from_values(values, found):
    seen = gap(column(values))
    assert (None if seen is None else seen.values) == found
    if seen is not None:
        assert seen.rows == sum(f"{v:g}" in found for v in values)


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "iris", "diabetes"])
def test_real_tables_without_gaps_have_none(name):
    frame = getattr(sklearn.datasets, f"load_{name}")(as_frame=False)
    found = [gap(column(values.tolist(), n)) for n, values in zip(frame.feature_names, frame.data.T, strict=True)]
    assert found == [None] * len(found)


def test_words_among_numbers_are_named_as_they_stand():
    seen = gap(column([*range(40), "<5", "unknown", "Unknown", "."]))
    assert seen.values == ("<5", "unknown", "Unknown", ".")
    assert (seen.rows, seen.why) == (4, "in 4 rows 3 words stand among its numbers")
    assert gap(column([*range(40), *"abcdefg"])) is None  # that is no column of numbers with gaps
    assert gap(column([*[3, 4, 6, 8] * 10, "rotary"])) is None  # a category
    assert gap(column([*range(90), "c168"])) is None  # a code
    assert gap(column([*range(90), "clotted"])).values == ("clotted",)


def test_where_they_stand_is_said_if_few_nodes_have_them():
    site = column(["A", "B", "C", "D"] * 25)
    values = [0 if i % 4 == 2 else 200 + i for i in range(100)]
    assert where(column(values), ("0",), site) == ["C"]
    assert where(column([0 if i % 9 == 2 else 200 + i for i in range(100)]), ("0",), site) == []
    assert absent(column([None if i % 4 == 1 else i for i in range(100)]), site) == ["B"]
    assert absent(column([None] * 100), site) == []
