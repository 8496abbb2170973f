"""What nodes agree on is what one place with all rows would compute, and no row leaves a node.

Legend: N rows, F features, K nodes.
"""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from foedus.core.coordination.executor import Plan, Task, answer_shapes
from foedus.core.coordination.site import Setup, Site
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import fold
from foedus.core.types.data import FederatedDataset
from foedus.core.types.model import Model
from foedus.core.types.transform import nbytes, shapes_of
from foedus.core.types.update import Update
from foedus.data import IID, load
from foedus.data.tables.jobs import Spread, Sum, Sums, Union, Vocabulary, decode, encode
from foedus.data.tables.recipe import Number, Recipe
from foedus.data.tables.schema import Column, Schema


@dataclass(frozen=True)
class Given:
    """The partition that gives row i to node ``owner[i]``."""

    owner: tuple[int, ...]

    def assign(self, dataset, nodes, key):
        owner = np.array(self.owner)
        sizes = np.bincount(owner)
        sizes = sizes[sizes > 0]
        return torch.from_numpy(np.argsort(owner, kind="stable")), torch.tensor([0, *sizes.cumsum()])


@pytest.fixture
def table(tmp_path):
    """Writes columns as a CSV and loads it."""

    def make(columns, **options):
        names = list(columns)
        lines = [",".join(names)] + [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        path = tmp_path / "table.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return load("csv", path=path, **({"target": "y", "test": None} | options))

    return make


CELLS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(-1e6, 1e6).map(lambda v: round(v, 3))),
        st.sampled_from(["", "red", "green", "blå"]),
        st.integers(0, 4),
    ),
    min_size=2,
    max_size=30,
)


def pooled(rows):
    """``(x, scaler)`` as scikit-learn computes them in one place, features in the order of a recipe."""
    number = np.array([[math.nan if r[0] is None else r[0]] for r in rows])
    text = np.array([[r[1] or None] for r in rows], dtype=object)
    filled = SimpleImputer(add_indicator=True).fit_transform(number)
    # scikit-learn imputes first; the deviation here is that of the values that are there.
    scaler = StandardScaler().fit(number)
    columns = [scaler.transform(filled[:, :1]), filled[:, 1:]]
    known = SimpleImputer(strategy="most_frequent", missing_values=None).fit_transform(text)
    columns.append(OneHotEncoder(sparse_output=False).fit_transform(known))
    missing = np.array([[float(r[1] == "")] for r in rows])
    if missing.any():
        columns.append(missing)
    return np.hstack(columns), scaler


@settings(max_examples=60, deadline=None)
@given(rows=CELLS)
def test_however_rows_are_divided_it_is_what_one_place_would_compute(rows, tmp_path_factory):
    rows = [(1.5, "red", 0), (None, "", 1), *rows]
    path = tmp_path_factory.mktemp("t") / "t.csv"
    lines = [f"{'NA' if n is None else n},{t},{i % 2}" for i, (n, t, _) in enumerate(rows)]
    path.write_text("a,color,y\n" + "\n".join(lines) + "\n", encoding="utf-8")
    data = load("csv", path=path, target="y", test=None)
    fed = data.split(Given(tuple(r[2] for r in rows)))
    expected, scaler = pooled(rows)
    number = fed.preparation.recipe.columns[0]
    assert number.shift == pytest.approx(scaler.mean_[0], rel=1e-12, abs=1e-12 * 1e6)
    assert number.scale == pytest.approx(scaler.scale_[0], rel=1e-6)
    np.testing.assert_allclose(fed.x.numpy(), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(fed.y, data.y)


def test_features_have_names_in_their_order(table):
    fed = table({"a": ["1", "?", "3"], "c": ["u", "", "v"], "y": ["n", "y", "n"]}).split(Given((0, 1, 0)))
    assert fed.feature_names == ("a", "a missing", "c = u", "c = v", "c missing")
    assert fed.x.tolist() == [[-1, 0, 1, 0, 0], [0, 1, 1, 0, 1], [1, 0, 0, 1, 0]]
    assert (fed.class_names, fed.y.tolist()) == (("n", "y"), [0, 1, 0])


def test_rare_categories_share_one_as_in_scikit_learn(table):
    words = ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2 + ["e"]
    y = [str(i % 2) for i in range(15)]
    fed = table({"w": words, "y": y}, max_categories=3).split(IID(), nodes=4)
    encoder = OneHotEncoder(max_categories=3, sparse_output=False, handle_unknown="infrequent_if_exist")
    expected = encoder.fit_transform(np.array(words)[:, None])
    assert fed.feature_names == ("w = a", "w = b", "w = other")
    np.testing.assert_array_equal(fed.x.numpy(), expected)
    unseen = fed.preparation.recipe.transform({"w": ["z", "a"]}).numpy()
    np.testing.assert_array_equal(unseen, encoder.transform([["z"], ["a"]]))


@pytest.mark.parametrize("value", [0.1, 0.7, 12.34, 1e-9, 0.0])
def test_a_column_that_is_the_same_in_all_rows_becomes_zero(table, value):
    fed = table({"a": [value] * 1000, "b": range(1000), "y": [0, 1] * 500}).split(IID(), nodes=7)
    assert fed.preparation.recipe.columns[0].scale == 1.0
    assert fed.x[:, 0].abs().max() < 1e-6
    assert any(line.startswith("a: ") and line.endswith("the same in all rows") for line in fed.preparation.lines)


def test_a_column_that_one_node_lacks_comes_from_the_others(table):
    fed = table({"a": ["1", "3", "", ""], "b": range(4), "y": "0101"}).split(Given((0, 0, 1, 1)))
    assert fed.x[:, :2].tolist() == [[-1, 0], [1, 0], [0, 1], [0, 1]]
    assert (
        "a: mean 2, deviation 1, from 1 of 2 nodes; 2 missing values become the mean, and a feature marks where"
        in fed.preparation.lines
    )


@pytest.mark.parametrize("cells", [["5", "", "", ""], ["word", "", "", ""]])
def test_a_column_without_a_value_among_the_training_rows_is_refused(table, cells):
    class Half:
        """All rows but the first, which nobody trains on."""

        def assign(self, dataset, nodes, key):
            return torch.tensor([1, 2, 3]), torch.tensor([0, 3])

    with pytest.raises(BadInput, match=r"column a has no value in any of the 3 training rows.*drop=\('a',\)"):
        table({"a": cells, "b": range(4), "y": "0101"}).split(Half())


def test_rows_that_are_held_out_or_tested_take_no_part(table):
    n = 40
    columns = {"a": np.arange(n) ** 2, "w": [f"w{i % 5}" for i in range(n)], "y": [i % 2 for i in range(n)]}
    data = table(columns, test=0.25)
    fed = data.split(IID(), nodes=3, holdout=0.3)
    trained = data.schema.unpack(data.records)["a"][fed.index.numpy()]
    assert len(trained) < len(data) < n
    assert fed.preparation.recipe.columns[0].shift == pytest.approx(trained.mean())
    assert fed.preparation.recipe.columns[0].scale == pytest.approx(trained.std())
    assert sum(map(len, (fed.test_x, fed.index, fed.held_index))) == n


def test_a_label_that_is_only_evaluated_on_is_refused(table):
    class First:
        def assign(self, dataset, nodes, key):
            return torch.tensor([0, 1]), torch.tensor([0, 2])

    with pytest.raises(BadInput, match=r"target y: 'c' is the label of 1 rows that are evaluated.*\(a, b\)"):
        table({"x": [1, 2, 3], "y": "abc"}).split(First())
    with pytest.raises(
        BadInput, match=r"target y is 'a' in all training rows, so there is nothing to learn: hold out fewer"
    ):
        table({"x": [1, 2, 3], "y": "aab"}).split(First())


def test_numbers_as_they_are_and_targets_scaled(table):
    columns = {"a": ["10", "30", ""], "y": ["0.5", "1.5", "4.0"]}
    fed = table(columns, scale=False, mark_missing=False).split(IID(), nodes=2)
    assert fed.x.tolist() == [[10], [30], [20]]
    np.testing.assert_allclose(fed.y.numpy(), (np.array([0.5, 1.5, 4]) - 2) / np.std([0.5, 1.5, 4]), rtol=1e-6)
    assert fed.preparation.recipe.answers(fed.y[:, None]) == pytest.approx([0.5, 1.5, 4.0], rel=1e-6)
    assert fed.classes is None
    assert table(columns, scale_target=False).split(IID(), nodes=2).y.tolist() == [0.5, 1.5, 4.0]


# -- what travels --------------------------------------------------------------------------------------------------

SCHEMA = Schema((Column("a", "number"), Column("w", "text", 6), Column("y", "text", 3)))
COLUMNS = {
    "a": np.array([1.0, 2.0, math.nan, 7.0, 50.0]),
    "w": np.array([b"red", b"", b"blue", b"red", b"green"]),
    "y": np.array([b"no", b"yes", b"no", b"no", b"yes"]),
}


def site():
    raw = FederatedDataset(
        SCHEMA.pack(COLUMNS),
        torch.zeros(5, dtype=torch.long),
        torch.tensor([4, 0, 1, 2, 3]),
        torch.tensor([0, 1, 5]),
        classes=2,
    )
    return Site(Setup(Model(nn.Linear(1, 1)), raw))


def test_records_keep_every_cell():
    for name, column in SCHEMA.unpack(SCHEMA.pack(COLUMNS)).items():
        np.testing.assert_array_equal(column, COLUMNS[name])


AGREED = torch.tensor(list(encode([["blue", "green", "red"], ["no", "yes"]])), dtype=torch.uint8)
MEAN = torch.tensor([15.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("job", "args", "first", "second"),
    [
        (
            Vocabulary(SCHEMA, 64),
            {},
            {"text": [["green"], ["yes"]], "needed": [19]},
            {"text": [["blue", "red"], ["no", "yes"]], "needed": [29]},
        ),
        (
            Sums(SCHEMA),
            {},
            {"rows": [1], "count": [1], "sum": [50], "holders": [1]},
            {"rows": [4], "count": [3], "sum": [10], "holders": [1]},
        ),
        (
            Spread(SCHEMA, 5),
            {"mean": MEAN, "text": AGREED},
            {"squares": [35.0**2], "count": [0, 1, 0, 0, 1]},
            {"squares": [14.0**2 + 13**2 + 8**2], "count": [1, 0, 2, 3, 1]},
        ),
    ],
    ids=["vocabulary", "sums", "spread"],
)
def test_an_answer_is_what_it_announces_and_nothing_else(job, args, first, second):
    at = site()
    result = at.run(Plan(job), args, [[Task(0, 0, {}), Task(1, 0, {})]])
    for outcome, expected in zip(result.outcomes, (first, second), strict=True):
        assert outcome.missing is None
        assert not outcome.metrics
        assert not outcome.state
        assert shapes_of(outcome.update.parts) == answer_shapes(job, at.model)
        said = {k: decode(v) if k == "text" else v.tolist() for k, v in outcome.update.parts.items()}
        assert said == expected


def test_bytes_and_messages_are_those_of_the_jobs(table):
    data = table({"a": [1, 2, 3, 4], "w": "uvuw", "y": "0101"})
    p = data.split(IID(), nodes=2).preparation
    model = Model(nn.Linear(1, 1))
    agreed = {
        "mean": torch.zeros(1, dtype=torch.float64),
        "text": torch.zeros(len(encode([["u", "v", "w"], ["0", "1"]]))),
    }
    text = nbytes(shapes_of({"mean": agreed["mean"]})) + len(agreed["text"])
    plans = [(Vocabulary(data.schema, 1024), 0), (Sums(data.schema), 0), (Spread(data.schema, 5), text)]
    assert p.bytes == 2 * sum(down + Plan(job).bytes_up(model) for job, down in plans)
    assert p.messages == 2 * 2 * 3
    assert p.lines[-1] == (
        f"to agree on 4 features of 2 columns, 2 nodes exchanged 12 messages of {p.bytes:,} bytes: "
        "values of text, counts and sums, no rows"
    )


def test_a_node_that_needs_more_room_is_asked_again(table):
    words = [f"word number {i}" for i in range(200)]
    data = table({"w": words, "x": range(200), "y": [0, 1] * 100}, text=("w",), max_categories=500)
    p = data.split(IID(), nodes=2).preparation
    assert len(p.recipe.columns[0].words) == 200
    assert p.messages == 2 * 2 * 4


def test_more_text_than_can_be_agreed_on_names_the_node_and_the_column(table):
    words = [f"{i:0190d}w" for i in range(6000)]
    data = table({"w": words, "x": range(6000), "y": [0, 1] * 3000}, text=("w",), node=None)
    with pytest.raises(
        BadInput, match=r"node 0 cannot prepare its table:.*column w has 6,000 different.*leave it out \(drop\)"
    ):
        data.split(IID(), nodes=1)


def test_a_node_with_a_single_row_is_warned_about(table):
    data = table({"h": ["alone", "b", "b"], "a": [1, 2, 3], "y": "010"}, node="h")
    assert any(line.startswith("1 node with a single training row (alone)") for line in data.split().preparation.lines)


def test_splitting_leaves_torch_s_generator_as_it_was(table):
    data = table({"a": [1, 2, 3, 4], "y": "0101"})
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    data.split(IID(), nodes=2)
    assert torch.equal(torch.random.get_rng_state(), before)


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=4, unique=True), min_size=1, max_size=6))
def test_a_union_does_not_depend_on_who_says_it_first(said):
    def update(words):
        text = encode([sorted(words)])
        padded = torch.zeros(64, dtype=torch.uint8)
        padded[: len(text)] = torch.tensor(list(text), dtype=torch.uint8)
        return Update({"text": padded, "needed": torch.tensor([len(text)])}, 1.0)

    union = [fold(Union(), [update(w) for w in order])[0] for order in (said, said[::-1])]
    assert decode(union[0]["text"]) == decode(union[1]["text"]) == [sorted({w for ws in said for w in ws})]


def test_a_sum_leaves_updates_as_they_were():
    updates = [Update({"a": torch.tensor([float(i)], dtype=torch.float64)}, 1.0) for i in range(40)]
    assert fold(Sum(), updates)[0]["a"].tolist() == [sum(range(40))]
    assert [u["a"].item() for u in updates] == list(range(40))


# -- recipes -------------------------------------------------------------------------------------------------------


def recipe(table):
    columns = {"age": ["40", "60", "?"], "Pain": ["none ", "SOME", ""], "y": ["sick", "well", "sick"]}
    return table(columns, rename={"Pain": "pain"}, positive="sick").split(IID(), nodes=3).preparation.recipe


def test_a_recipe_survives_json(table):
    made = recipe(table)
    again = Recipe.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.target.labels == ("well", "sick")
    assert again.answers(torch.tensor([[0.0, 1.0], [2.0, 1.0]])) == ["sick", "well"]


def test_a_recipe_is_applied_to_new_rows_of_a_file_or_of_python(table, tmp_path):
    made = recipe(table)
    assert made.feature_names == ("age", "age missing", "pain = none", "pain = some", "pain missing")
    expected = [[1, 0, 0, 1, 0], [0, 1, 0, 0, 0], [-1, 0, 1, 0, 1]]
    (tmp_path / "new.csv").write_text("Pain;more;age\nSome;1;60\nunheard of;2;NA\n;3;40\n")
    assert made.transform(tmp_path / "new.csv").tolist() == expected
    python = {"age": [60, None, 40.0], "pain": ["some", " Unheard  of", None]}
    assert made.transform(python).tolist() == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"age": [1]}, r"needs a column 'pain', and the new rows have none: They have age$"),
        ({"agee": [1], "pain": ["none"]}, r"needs a column 'age'.*did you mean 'agee'\?"),
        ({"age": [1, 2], "pain": ["none"]}, r"different lengths: age 2, pain 1"),
        ({"age": ["old"], "pain": ["none"]}, r"column age: 'old' in row 0 is not a number"),
    ],
)
def test_new_rows_that_do_not_fit(table, source, message):
    with pytest.raises(BadInput, match=message):
        recipe(table).transform(source)


def test_a_recipe_refuses_what_its_table_refused(table):
    made = table({"a": [1, 2], "y": "01"}, missing="refuse").split(IID(), nodes=1).preparation.recipe
    with pytest.raises(BadInput, match=r"column a is empty in row 1, and missing is 'refuse'"):
        Recipe.from_dict(made.to_dict()).transform({"a": [1, None]})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, r"no recipe of a table \(KeyError"),
        ({"version": 9}, r"version 9, this foedus reads version 2"),
        ({"version": 1, "columns": [{"kind": "image"}], "target": {}, "reading": {}, "rename": {}}, r"no recipe"),
        ([], r"no recipe"),
    ],
)
def test_what_is_no_recipe(said, message):
    with pytest.raises(BadInput, match=message):
        Recipe.from_dict(said)


def test_a_number_marks_what_was_missing():
    scaled, missing = Number("a", fill=3.0, shift=1.0, scale=2.0, marked=True).apply(np.array([5.0, math.nan]))
    assert (scaled.tolist(), missing.tolist()) == ([2.0, 1.0], [False, True])
