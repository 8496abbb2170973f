"""A first look guesses which column is what, and says why."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foedus.core.errors import BadInput
from foedus.data import load
from foedus.data.tables import look


@pytest.fixture
def seen(tmp_path):
    def write(header, rows, name="t.csv", **given):
        path = tmp_path / name
        path.write_text("\n".join([header, *(",".join(map(str, r)) for r in rows)]) + "\n")
        return look(path, **given)

    return write


def test_columns_are_described(seen):
    words = ["High", "high", "low", ""]
    rows = [(i, words[i % 4], f"2020-01-{i + 1:02}", "", i if i else "x", i % 2) for i in range(8)]
    found = {c.name: c for c in seen("n,w,d,e,m,y", rows).columns}
    assert {name: c.kind for name, c in found.items()} == {
        "n": "number",
        "w": "text",
        "d": "date",
        "e": "empty",
        "m": "mixed",
        "y": "number",
    }
    assert (found["w"].missing, found["w"].distinct, found["e"].missing) == (2, 2, 8)
    assert found["w"].line == "w: text, 2 different, 2 missing: High, high, low"


def said(found):
    """What is proposed, and what is asked, by option."""
    return {f.option: f.value if hasattr(f, "value") else f for f in found.findings}


ROWS = [(i % 3, i, i * 0.5, "ab"[i % 2]) for i in range(12)]


@pytest.mark.parametrize(
    ("header", "node", "target", "others"),
    [
        ("hospital,patient_id,x,outcome", "hospital", "outcome", {"id": "patient_id"}),
        ("y,a,b,bank", "bank", "y", {}),
        ("Klinik,a,b,Rückfall", "Klinik", "Rückfall", {}),
        ("a,target_id,target,d", None, "target", {"id": "target_id"}),
    ],
)
def test_names_say_what_is_what(seen, header, node, target, others):
    found = said(seen(header, ROWS))
    assert (found.get("node"), found["target"]) == (node, target)
    assert {k: v for k, v in found.items() if k in ("id", "group", "drop")} == others
    assert ("split" in found) == (node is None)


@pytest.mark.parametrize(
    ("header", "option", "choose"),
    [
        ("SiteCode,recordId,price,k", "target", ("price", "k")),  # either may be it
        ("a,result,b,default", "target", ("default", "result")),
        ("region,a,b,outcome", "node", ("region",)),  # by which nothing differs
        ("hospital,a,b,site", "node", ("hospital", "site")),
    ],
)
def test_what_names_leave_open_is_asked(seen, header, option, choose):
    found = seen(header, [(i % 3, i * i % 7 / 2, i * 0.5, "ab"[i // 3 % 2]) for i in range(24)])
    assert said(found)[option].choose[: len(choose)] == choose
    assert option not in found.options


def test_what_is_said_is_not_guessed(seen):
    rows = [(f"p{i:02}", "uvw"[i % 3], i % 4, "no" if i % 2 else "yes") for i in range(40)]
    header, path = "person,where,k,well", "t.csv"
    seen(header, rows, path)
    found = seen(header, rows, path, target="k", task="classification", node="where", drop=["person"])
    assert found.options["target"] == "k"
    assert (found.options["node"], found.options["task"]) == ("where", "classification")
    assert found.questions == ()
    assert said(seen(header, rows, path, target="well", node=None))["split"] == "iid"
    with pytest.raises(BadInput, match=r"target: there is no column 'wel': did you mean 'well'"):
        seen(header, rows, path, target="wel")


def test_what_stands_in_the_target_is_told_and_not_decided(seen):
    rows = [(f"s{i % 3}", i * i % 13, "?!" if i % 9 == 0 else i % 2) for i in range(90)]
    found = seen("site,x,label", rows)
    assert found.options["target"] == "label"
    assert "missing_values" not in found.options
    assert any("label is to be learned, and in 10 rows 1 word stands" in line for line in found.lines)
    with pytest.raises(BadInput, match="target k is '1' in all rows: there is nothing to learn, name another column"):
        seen("x,k", [(i, 1) for i in range(30)], target="k")


def test_every_guess_has_its_reason(seen):
    rows = [(f"name {i}", "same", f"2020-01-{i % 28 + 1:02}", "", i % 4, i * i % 5 // 2) for i in range(60)]
    found = seen("who,const,when,nothing,a,b", rows)
    drop = next(f for f in found.findings if f.option == "drop")
    assert {g.name: g.why for g in drop.parts} == {
        "who": "it is different in every row: it tells rows apart and teaches nothing",
        "const": "it is the same in every row",
        "when": "it holds dates, which are no numbers until they are made into some",
        "nothing": "it has no value at all",
    }
    assert said(found)["target"].choose == ("b", "a")
    assert "split: iid, no column names a node: rows are dealt out at random" in found.lines
    assert len(load(found.source, **found.options | {"target": "b", "task": "classification"})) == 60


def test_several_files_are_nodes_themselves(tmp_path):
    for name in ("ann", "bob"):
        pq.write_table(pa.table({"a": [1, 2, 3], "label": ["u", "v", "u"]}), tmp_path / f"{name}.parquet")
    found = look(tmp_path)
    assert (found.source, found.rows) == ("parquet", 6)
    assert found.options == {"path": tmp_path, "target": "label", "test": None}
    assert load(found.source, **found.options).split().node_names == ("ann", "bob")
    assert found.size == "of 6 rows, 4 are trained on and 2 judge (held out by the nodes)"


def test_counts_are_true_where_guesses_are_made_by_a_sample(tmp_path):
    rows = 30_000
    words = ["red", " Red", "green", "NA", " na "]
    lines = [f"{words[i % 5]},{'' if i % 7 == 0 else i},{i % 3},{i % 2}\n" for i in range(rows)]
    (tmp_path / "big.csv").write_text("w,n,k,label\n" + "".join(lines))
    found = {c.name: c for c in look(tmp_path / "big.csv").columns}
    assert (found["w"].missing, found["w"].distinct, found["w"].more) == (12_000, 2, False)
    assert found["n"].missing == -(-rows // 7)
    assert found["n"].more
    assert (found["k"].distinct, found["label"].distinct) == (3, 2)


def test_a_single_column_is_no_table(seen):
    with pytest.raises(BadInput, match=r"t\.csv has a single column, 'a'.*delimiter="):
        seen("a", [(1,), (2,)])
