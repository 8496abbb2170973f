"""Rows of a test in files of their own, rows that belong together, nodes that a column names."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import IID, Natural, load

TRAIN = "id,who,h,a,w,y\n1,p,u,1,x,no\n2,p,u,2,z,yes\n3,q,v,3,x,no\n4,r,v,?,z,yes\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_text(TRAIN)
    return tmp_path


def read(path="train.csv", **options):
    return load("csv", path=path, **({"target": "y", "node": "h", "id": "id", "group": "who"} | options))


def test_a_file_of_test_rows_is_read_as_training_rows_are(folder):
    # Another order, a longer text, a column more, no node.
    (folder / "test.csv").write_text("y,w,a,id,who,more\nYES,a long one,2,9,s,1\nno,x,,8,s,2\n?,x,1,7,t,3\n")
    data = read(test="test.csv").split()
    assert (data.sizes, data.test_rows, data.tested_on) == ([2, 2], 2, "test")
    assert data.test_y.tolist() == [1, 0]
    recipe = data.preparation.recipe
    expected = recipe.transform({"a": [2, None], "w": ["a long one", "x"]})
    assert torch.equal(data.test_x, expected)
    assert torch.equal(data.x, read(test=None).split().x)
    lines = data.preparation.lines
    assert "test.csv: 2 rows for the test (1 without a y left out); no node has them" in lines
    assert "w: 1 test row has a value that no training row has (a long one): none of its features" in lines


def test_a_test_file_beside_the_others_is_no_node_s(folder):
    for name in ("ann", "bob"):
        (folder / f"{name}.csv").write_text(TRAIN.replace("p", name[0]).replace("q", name[1]).replace("r,", name + ","))
    (folder / "train.csv").rename(folder / "test.csv")
    data = load("csv", path=".", target="y", drop=["id", "h", "who"], test="test.csv").split()
    assert (data.node_names, data.test_rows) == (("ann", "bob"), 4)
    with pytest.raises(BadInput, match=r"test\.csv is to be trained on and is the test, too: give the test a file of"):
        read("test.csv", test="test.csv")
    for name in ("ann", "bob"):
        (folder / name).mkdir()
        (folder / f"{name}.csv").rename(folder / name / "data.csv")
    data = load("csv", path=".", target="y", drop=["id", "h", "who"], test="test.csv").split()
    assert (data.node_names, data.test_rows) == (("ann", "bob"), 4)
    (folder / "alone").mkdir()
    (folder / "test.csv").rename(folder / "alone" / "test.csv")
    with pytest.raises(BadInput, match=r"the folder alone has no file that ends in .* but those of the test"):
        read("alone", test="alone/test.csv")


@pytest.mark.parametrize(
    ("test", "options", "message"),
    [
        ("id,who,aa,w,y\n9,s,1,x,no\n", {}, r"test: test\.csv has no column 'a', and the training rows have: did you"),
        ("id,who,a,w,y\n9,s,old,x,no\n", {}, r"column a: 'old' in line 2 of test\.csv is not a number"),
        ("id,who,a,w,y\n9,s,1,x,no\n8,s,1,x,maybe\n", {}, r"'maybe' in line 3 of test\.csv is a label that no trainin"),
        ("id,who,a,w,y\n9,s,1,x,?\n", {}, r"test: test\.csv has no row with a y"),
        ("id,who,a,w,y\n9,s,1,x,no\n3,t,1,x,no\n", {}, r"id id: '3' in line 3 of test\.csv is among the training rows"),
        ("id,who,a,w,y\n9,s,1,x,no\n9,t,1,x,no\n", {}, r"id id: '9' is in line 2 of test\.csv and again in line 3"),
        ("id,who,a,w,y\n9,s,1,x,no\n8,q,1,x,no\n", {}, r"group who: 'q' in line 3 of test\.csv is among the training"),
        ("id,who,a,w,y\n9,s,?,x,no\n", {"missing": "refuse", "drop": ["a"]}, None),
        ("id,who,a,w,y\n9,s,1,?,no\n", {"missing": "refuse", "drop": ["a"]}, r"w is empty in line 2 of test\.csv"),
    ],
)
def test_a_test_file_that_does_not_do(folder, test, options, message):
    (folder / "test.csv").write_text(test)
    if message is None:
        assert read(test="test.csv", **options).split().test_rows == 1
        return
    with pytest.raises(BadInput, match=message):
        read(test="test.csv", **options)


@pytest.mark.parametrize(
    ("option", "message"),
    [("tost.csv", "there is no file tost.csv"), (1.5, "a file of test rows, or None; got 1.5"), (True, "got True")],
)
def test_a_test_that_is_none(folder, option, message):
    with pytest.raises(BadInput, match=message):
        read(test=option)
    assert read(test=False).test_records is None


@pytest.mark.parametrize(("positive", "label"), [(">2", "4"), (["3", "4"], "7")])
def test_the_classes_of_test_rows_follow_the_same_rule(folder, positive, label):
    (folder / "train.csv").write_text("a,y\n1,1\n2,2\n3,3\n4,4\n")
    (folder / "test.csv").write_text(f"a,y\n1,1\n2,{label}\n3,3\n")
    if label == "7":  # a label that is not named, and that no training row has
        with pytest.raises(BadInput, match=r"'7' in line 3 of test\.csv is a label that no training row has"):
            load("csv", path="train.csv", target="y", positive=positive, test="test.csv")
        return
    table = load("csv", path="train.csv", target="y", positive=positive, test="test.csv")
    assert table.split(IID(), nodes=2).test_y.tolist() == [0, 1, 1]


def test_another_seed_draws_another_test(folder):
    (folder / "many.csv").write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(80)))

    def drawn(**options):
        table = load("csv", path="many.csv", target="y", **options)
        return table.schema.unpack(table.test_records)["a"].tolist()

    assert drawn() == drawn(test_seed=0)
    assert drawn(test_seed=1) == drawn(test_seed=1) != drawn()
    with pytest.raises(BadInput, match="test_seed must be an integer"):
        drawn(test_seed="1")


# -- rows that belong together -----------------------------------------------------------------------------------------


def test_a_group_is_on_one_side_and_no_feature(folder):
    rows = [f"{i},p{i // 3:02d},{'uvw'[i // 3 % 3]},{i % 7},x{i % 2},{'ny'[i // 3 % 2]}\n" for i in range(90)]
    (folder / "train.csv").write_text("id,who,h,a,w,y\n" + "".join(rows))
    table = read(test=0.2)
    assert not set(table.group) & set(table.test_group)
    assert len(table.test_group) == 18
    assert "30 groups by who, with up to 3 rows each, which stay together" in table.lines
    data = table.split(holdout=0.25)
    assert data.feature_names == ("a", "w = x0", "w = x1")
    assert not set(table.group[data.index]) & set(table.group[data.held_index])
    # A row a group: the same draw as without.
    rows = [row.replace(f"p{i // 3:02d}", f"p{i:02d}") for i, row in enumerate(rows)]
    (folder / "train.csv").write_text("id,who,h,a,w,y\n" + "".join(rows))
    grouped, plain = read(test=0.2).split(holdout=0.25), read(test=0.2, group=None, drop=["who"]).split(holdout=0.25)
    assert torch.equal(grouped.x, plain.x)
    assert torch.equal(grouped.held_index, plain.held_index)


def test_a_patient_at_two_hospitals(folder):
    (folder / "train.csv").write_text(TRAIN.replace("3,q", "3,p"))
    with pytest.raises(BadInput, match=r"rows of who 'p' are at u and at v: .*group=\('h', 'who'\)"):
        read(test=None).split()
    both = read(test=None, group=["h", "who"])
    assert both.group.tolist() == ["('u', 'p')", "('u', 'p')", "('v', 'p')", "('v', 'r')"]
    assert both.split(holdout=0.5).nodes == 2
    assert read(test=None, node=None, drop=["h"]).split(IID(), nodes=2).nodes == 2


def test_groups_beyond_what_floats_hold(folder):
    who = [2**53 + 1, 2**53 + 2, 2**53 + 1, 7]
    columns = {"who": pa.array(who, pa.uint64()), "a": [1, 2, 3, 4], "y": [0, 1, 0, 1]}
    pq.write_table(pa.table(columns), "t.parquet")
    table = load("parquet", path="t.parquet", target="y", group="who", test=None)
    assert len(np.unique(table.group)) == 3
    pq.write_table(pa.table({**columns, "who": [float(w) for w in who]}), "t.parquet")
    with pytest.raises(BadInput, match=r"group column who holds floats, which do not tell .* in row \d of t\.parquet"):
        load("parquet", path="t.parquet", target="y", group="who", test=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "what"}, r"group: there is no column 'what'"),
        ({"group": "id"}, r"'id' is in group, and is the target, the id or dropped"),
        ({"group": "h"}, r"column 'h' cannot be both group and node"),
        ({"group": ["who"], "drop": ["who"]}, r"'who' is in group, and is the target, the id or dropped"),
        ({"group": []}, r"group is an empty list"),
        ({"group": 3}, r"group must be a list of names, such as group=\('3',\); got 3"),
        ({"missing_values": ["q"]}, r"group column who is empty in line 4 of train\.csv: every row needs one"),
    ],
)
def test_groups_that_do_not_fit(folder, options, message):
    with pytest.raises(BadInput, match=message):
        read(**options)


# -- nodes that a column names -----------------------------------------------------------------------------------------


def test_a_node_column_and_a_partition_are_one_too_many(folder):
    table = read(test=None)
    with pytest.raises(
        BadInput,
        match=r"node, the column 'h', says whose .*IID\(\) would deal .*leave the partition out.*drop=\('h',\)",
    ):
        table.split(IID(), nodes=2)
    assert table.split(Natural()).node_names == ("u", "v")
