"""Which column is to be learned: by its name where that leaves no doubt, else it is asked."""

import numpy as np
import pytest

from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Reading
from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.proposal import Proposal
from foedus.data.tables.overview.target import target, task

R = np.random.default_rng(6)
N = 120
AMOUNT, FEW, WORDS = R.normal(size=N), R.integers(0, 2, N), R.choice(["a", "b", "c"], N)


def column(values, name="c"):
    return Column(name, Cells.of(list(values), Reading()), None)


def found(**columns):
    guess = target([column(v, name) for name, v in columns.items()])
    return guess.value if isinstance(guess, Proposal) else guess.choose


@pytest.mark.parametrize(
    ("columns", "guess"),
    {
        "anything that is called so": ({"y": AMOUNT, "a": FEW, "b": AMOUNT}, "y"),
        "a place": ({"x": AMOUNT, "y": AMOUNT, "label": WORDS}, "label"),
        "places only": ({"x": AMOUNT, "y": AMOUNT, "z": AMOUNT}, ("y", "z", "x")),
        "an event": ({"a": AMOUNT, "death": FEW, "b": AMOUNT}, "death"),
        "a rate": ({"a": AMOUNT, "death": AMOUNT, "b": WORDS}, ("b", "a")),
        "a likely name at an end": ({"a": AMOUNT, "b": WORDS, "price": AMOUNT}, "price"),
        "a likely name in the middle": ({"a": AMOUNT, "price": AMOUNT, "b": AMOUNT}, ("price", "b", "a")),
        "income, as a number": ({"a": AMOUNT, "b": AMOUNT, "income": AMOUNT}, ("income", "a")),
        "income, as a class": ({"a": AMOUNT, "b": AMOUNT, "income": FEW}, "income"),
        "the only labels": ({"a": AMOUNT, "b": AMOUNT, "c": AMOUNT, "kind of": WORDS}, "kind of"),
        "a treatment": ({"feed": WORDS, "weight": AMOUNT}, ("feed",)),
        "no other word than a longer one": ({"target": FEW, "a": AMOUNT, "target_rate": FEW}, "target"),
    }.values(),
)
def test_names_places_and_values_say_it_or_it_is_asked(columns, guess):
    assert found(**columns) == guess


def test_few_numbers_may_be_labels_or_amounts():
    assert task(column(AMOUNT)).value == "regression"
    assert task(column(FEW)) is None
    assert task(column(WORDS)) is None
    assert task(column(R.integers(0, 5, N))).choose == ("classification", "regression")
    assert task(column(R.integers(0, 5, N), "class")).value == "classification"
    assert "positive" not in task(column(R.choice([1.5, 2.5, 3.5], N))).why
