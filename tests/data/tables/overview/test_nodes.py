"""Whose row it is: what sites do to a table, and what features do."""

import numpy as np
import pytest

from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Reading
from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.nodes import node
from foedus.data.tables.overview.proposal import Proposal

R = np.random.default_rng(3)
N = 400
WHO = R.integers(0, 4, N)
NAMES = np.array(["ash", "birch", "cedar", "elm"])[WHO]


def shifted(by, n=6):
    """Columns of numbers that are higher by so many deviations for each next site."""
    return {f"m{j}": np.round(R.normal(by * WHO, 1), 3) for j in range(n)}


def found(columns, learned=None):
    made = [Column(name, Cells.of(list(v), Reading()), None) for name, v in columns.items()]
    guess, also = node(made, learned)
    return guess.value if isinstance(guess, Proposal) else guess and guess.choose, also


@pytest.mark.parametrize(
    ("columns", "guess"),
    {
        "a name and its shape": ({"hospital": NAMES, **shifted(0)}, "hospital"),
        "a doubtful name, borne out": ({"store": NAMES, **shifted(1)}, "store"),
        "a doubtful name, not borne out": ({"store": NAMES, **shifted(0)}, ("store",)),
        "no name, but all differs": ({"qx": NAMES, **shifted(1)}, ("qx",)),
        "no name, and nothing differs": ({"qx": NAMES, **shifted(0)}, None),
        "numbers that name": ({"qx": np.array([11, 25, 40, 87])[WHO], **shifted(0.7)}, ("qx",)),
        "numbers that count": ({"qx": WHO, **shifted(1)}, None),
        "years": ({"qx": 2000 + 5 * WHO, **shifted(1)}, None),
        "a feature by its name": ({"sex": NAMES, **shifted(1)}, None),
        "two names": ({"hospital": NAMES, "bank": R.permutation(NAMES), **shifted(0)}, ("hospital", "bank")),
        "a code beside its name": ({"clinic": NAMES, "clinic_code": WHO, **shifted(0)}, "clinic"),
        "a name of which every row has its own": ({"site": [f"s{i}" for i in range(N)], **shifted(0)}, None),
    }.values(),
)
def test_sites_are_told_from_features(columns, guess):
    assert found(columns)[0] == guess


def test_what_a_column_lacks_at_one_value_is_what_sites_do():
    lacking = {"grp": NAMES, **shifted(0), "lab": np.where(WHO == 2, None, R.normal(size=N))}
    assert found(lacking)[0] == ("grp",)


def test_files_of_sites_below_each_other_make_blocks():
    order = np.argsort(NAMES)
    columns = {"grp": NAMES, **shifted(0.35, n=2), **{f"k{i}": R.normal(size=N) for i in range(3)}}
    assert found(columns)[0] is None
    assert found({n: np.asarray(v)[order] for n, v in columns.items()})[0] == ("grp",)


def test_what_is_learned_names_no_node_and_a_second_candidate_is_told():
    assert found({"site": NAMES, **shifted(1)}, learned="site")[0] is None
    assert found({"hospital": NAMES, "ward": R.permutation(NAMES), **shifted(0)}) == ("hospital", ["ward"])


def test_two_hundred_nodes_are_nodes_and_chance_is_not():
    """Of many columns of labels some differ by chance: none is asked about."""
    many = {f"c{j}": R.choice(list("uvwx"), N) for j in range(25)}
    assert found(many)[0] is None
    who = np.arange(2_000) % 200
    columns = {"center": [f"c{k:03}" for k in who], "x": R.normal(size=2_000)}
    assert found(columns)[0] == "center"
    assert node([], None) == (None, [])
