"""What tells rows apart, and what says which rows are of one person."""

import numpy as np
import pytest

from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Reading
from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.identifiers import group, identifier, is_id, prefixes

R = np.random.default_rng(4)
N = 300


def column(values, name="c"):
    return Column(name, Cells.of(list(values), Reading()), None)


@pytest.mark.parametrize(
    ("name", "values", "told"),
    {
        "text": ("who", [f"n{i}" for i in range(N)], True),
        "numbers by their name": ("patient_id", R.permutation(10 * N)[:N], True),
        "beyond 2^53": ("key", [str(2**60 + i) for i in range(N)], True),
        "numbers given out in turn": ("kundennummer", 5000 + R.permutation(N), True),
        "a measurement": ("chol", R.permutation(100 * N)[:N], False),
        "amounts": ("income", [f"{1000 + 7 * i},00 €".replace(",00", "") for i in range(N)], False),
        "one twice": ("id", [*range(N - 1), 0], False),
        "fractions": ("id", R.normal(size=N), False),
    }.values(),
)
def test_identifiers_are_told_from_measurements(name, values, told):
    assert is_id(column(values, name)) == told


def test_only_what_is_called_so_is_proposed_as_the_identifier():
    assert identifier([column([f"n{i}" for i in range(N)], "name")]) is None
    assert identifier([column(range(N), "case_id")]).value == "case_id"


@pytest.mark.parametrize(
    ("name", "of_each", "others", "told"),
    {
        "patients with visits": ("patient_id", 3, {}, True),
        "no name, but sex stays with it": ("xq", 3, {"sex": 1}, True),
        "no name, and nothing stays with it": ("xq", 3, {}, False),
        "as many rows as a node has": ("patient_id", 100, {}, False),
        "income of a household": ("household_income", 3, {}, False),
    }.values(),
)
def test_people_with_several_rows_are_kept_together(name, of_each, others, told):
    who = np.repeat(np.arange(N // of_each), of_each)
    columns = [column([f"k{k:03}" for k in R.permutation(N // of_each)[who]], name)]
    columns += [column(np.array([*"mf"])[R.integers(0, 2, N)][who], n) for n in others]
    found = group([*columns, column(R.integers(0, 3, N), "grade")], None, False)
    assert (found is not None) == told


@pytest.mark.parametrize(
    ("make", "codes"),
    [
        (lambda i: f"{('HD', 'CL', 'SW')[i % 3]}-{i:04}", 3),
        (lambda i: f"{('north', 'south')[i % 2]}{i}", 2),
        (lambda i: f"{100 + i % 4}/{i:05}", 4),
        (lambda i: f"P{i:05}", None),
        (lambda i: f"{i * 2654435761 % 2**32:08x}", None),
    ],
)
def test_sites_in_identifiers_are_seen(make, codes):
    found = prefixes([column([make(i) for i in range(N)], "record")])
    assert (None if found is None else found.codes) == codes
