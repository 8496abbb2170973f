"""A first look guesses which column is what, and says why."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foedus.core.errors import BadInput
from foedus.data import load
from foedus.data.tables import look


@pytest.fixture
def seen(tmp_path):
    def write(header, rows, name="t.csv"):
        path = tmp_path / name
        path.write_text("\n".join([header, *(",".join(map(str, r)) for r in rows)]) + "\n")
        return look(path)

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


ROWS = [(i % 3, i, i * 0.5, "ab"[i % 2]) for i in range(12)]


@pytest.mark.parametrize(
    ("header", "node", "target", "drop"),
    [
        ("hospital,patient_id,x,outcome", "hospital", "outcome", ("patient_id",)),
        ("SiteCode,recordId,price,k", "SiteCode", "price", ("recordId",)),
        ("y,a,b,bank", "bank", "y", ()),
        ("user,a,b,c", "user", "c", ()),
        ("a,b,c,d", None, "d", ()),
        ("a,target_id,target,d", None, "target", ("target_id",)),
    ],
)
def test_names_say_what_is_what(seen, header, node, target, drop):
    found = seen(header, ROWS)
    assert (found.node.name if found.node else None, found.target.name) == (node, target)
    assert tuple(g.name for g in found.drop) == drop
    assert set(found.options) == {"path", "target"} | ({"node"} if node else set()) | ({"drop"} if drop else set())


def test_every_guess_has_its_reason(seen):
    rows = [(f"name {i}", "same", f"2020-01-{i % 28 + 1:02}", "", i % 4, i % 2) for i in range(60)]
    found = seen("who,const,when,nothing,a,b", rows)
    assert {g.name: g.why for g in found.drop} == {
        "who": "as it is different in every row: it tells rows apart and teaches nothing",
        "const": "as it is the same in every row",
        "when": "as it holds dates, which are no numbers until they are made into some",
        "nothing": "as it has no value at all",
    }
    assert found.target.why == "as it is the last column and no name says what is to be learned"
    assert "node: none found; divide the rows by a partition such as IID()" in found.lines
    assert len(load(found.source, **found.options)) == 48


def test_several_files_are_nodes_themselves(tmp_path):
    for name in ("ann", "bob"):
        pq.write_table(pa.table({"a": [1, 2, 3], "label": ["u", "v", "u"]}), tmp_path / f"{name}.parquet")
    found = look(tmp_path)
    assert (found.source, found.node, found.target.name, found.rows) == ("parquet", None, "label", 6)
    assert "node: the file, as there are 2 of them and no column names a node" in found.lines
    assert load(found.source, **found.options).split().node_names == ("ann", "bob")


def test_a_single_column_is_no_table(seen):
    with pytest.raises(BadInput, match=r"t\.csv has a single column, 'a'.*delimiter="):
        seen("a", [(1,), (2,)])
