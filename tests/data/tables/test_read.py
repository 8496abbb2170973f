"""Files as they are: what can be read is, and what cannot is one line that says where and what to do."""

import datetime
import gzip
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import IID, Dirichlet, Natural, Table, load
from foedus.data.tables import files
from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Reading, check_names
from foedus.data.tables.read import check_known

GOOD = "a,b,y\n1,x,0\n2,z,1\n3,x,1\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file into a folder that is the working folder, too."""
    monkeypatch.chdir(tmp_path)

    def put(content, name="t.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return put


def read(path, **options):
    return load("csv", path=path, **({"target": "y", "test": None} | options))


def cells(table):
    return {name: column.tolist() for name, column in table.schema.unpack(table.records).items()}


EXPECTED = {"a": [1, 2, 3], "b": [b"x", b"z", b"x"], "y": [b"0", b"1", b"1"]}


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (GOOD, {}),
        (b"\xef\xbb\xbf" + GOOD.encode(), {}),
        (GOOD.replace("\n", "\r\n"), {}),
        (GOOD.replace("\n", "\r"), {}),
        (GOOD.replace(",", ";"), {}),
        (GOOD.replace(",", "\t"), {}),
        (GOOD.replace(",", "|"), {}),
        (GOOD.replace(",", "~"), {"delimiter": "~"}),
        (GOOD.encode("utf-16"), {"encoding": "utf-16"}),
        (gzip.compress(GOOD.encode(), mtime=0), {}),
        (GOOD.rstrip("\n"), {}),
        ("\n\n" + GOOD.replace("2,z,1\n", "2,z,1\n\n"), {}),
        (GOOD.replace("a,b,y", " a , b,y "), {}),
        (GOOD.replace("a,b,y\n", ""), {"names": ["a", "b", "y"]}),
        ('"a","b",y\n+1,"x",0\n2.0,Z ,1.0\n3e0," x\t",1\n', {}),
        ("a;b;y\n1,0;x;0\n2;z;1\n3,00;x;1\n", {"decimal": ","}),
    ],
)
def test_one_table_written_in_many_ways(write, content, options):
    assert cells(read(write(content), **options)) == EXPECTED


def test_text_is_compared_without_spaces_and_case_unless_said_otherwise(write):
    path = write("w,y\nHigh  pain,0\nhigh pain ,1\nSTRASSE,0\nstraße,1\n1.0,0\n1,1\n", "w.csv")
    assert cells(read(path))["w"] == [b"high pain"] * 2 + [b"strasse"] * 2 + [b"1"] * 2
    kept = cells(read(path, ignore_case=False))["w"]
    assert kept == [b"High pain", b"high pain", b"STRASSE", "straße".encode(), b"1", b"1"]


def test_quoted_newlines_and_delimiters_are_part_of_a_cell(write):
    table = read(write('w,y\n"a\nb",0\n"c, ""d""",1\n'))
    assert cells(table)["w"] == [b"a b", b'c, "d"']


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", {}, r"^t\.csv is empty: a table needs a line with the names"),
        (b"\n \n", {}, r"^t\.csv is empty"),
        ("a,b,y\n", {}, r"t\.csv has names of columns but no rows"),
        (b"a,b\x00\x01", {}, r"t\.csv is binary, not text: its byte 3 is NUL"),
        (b"PK\x03\x04...", {}, r"is a zip archive, which no source reads: run python -m zipfile"),
        (b"PAR1...", {}, r"a Parquet file: load\(\"parquet\""),
        (b"\x1f\x8b broken", {}, r"t\.csv is damaged, it cannot be unpacked: "),
        ("a,y\né,0\nü,1\n".encode("latin-1"), {}, r"not UTF-8: byte 4 \(0xe9, line 2\).*encoding='latin-1'"),
        (GOOD.encode("utf-16"), {}, r"t\.csv is UTF-16, not UTF-8: .*encoding='utf-16'"),
        ("a,a,y\n1,2,3\n", {}, r"more than one column named 'a'"),
        (",a,y\n0,1,3\n", {}, r"column 1 of t\.csv has no name.*index=False"),
        ("a,,y\n0,1,3\n", {}, r"column 2 of t\.csv has no name in the header: give it one"),
        ("63,?,no\n50,1,yes\n", {}, r"looks like data, not like names of columns \(63, \?, no\).*names="),
        (GOOD, {"names": ("a", "y")}, r"names has 2 names, but line 1 of t\.csv has 3 columns"),
        ('a,b,y\n1,"q\nq",0\n\n2,z\n3,x,1\n', {}, r"line 5 of t\.csv has 2 values, the header 3 names"),
        ("a,b,y\n1,x,0,\n", {}, r"line 2 of t\.csv has 4 values"),
        ('a,b,y\n1,x,0\n2,"z,1\n3,x,1\n', {}, r"line 3 of t\.csv is not CSV: .*is a quote never closed\?"),
        ('a,b,y\n1,"q\nq",0\n\n2,z,1\nabc,x,1\n4,x,1\n', {}, r"^column a: 'abc' in line 6 of t\.csv is not a number;"),
        ("a,y\n1,0\nabc,0\n2,1\nde,1\n3,1\n", {}, r"'abc' in line 3 of t\.csv is not a number \(nor are 1 more\)"),
        (GOOD, {"numeric": ("b",)}, r"column b: 'x' in line 2 .*text=\('b',\) or drop=\('b',\)"),
        ("a;y\n1,5;0\n2,5;1\n", {}, r"'1,5' in line 2 of t\.csv is not a number.*decimal=','"),
        ("a,y\n1,0\ninf,1\n", {}, r"column a: 'inf' in line 3 of t\.csv is infinite"),
        ("a,y\n1,0\n1" + "0" * 40 + ",1\n", {}, r"column a: '10+' in line 3 of t\.csv is beyond 1e\+30"),
        ("a,b,y\n1,,0\n2,NA,1\n", {}, r"column b has no value in any of the 2 rows: drop=\('b',\)"),
        ("a,d,y\n1,2020-01-31,0\n2,2020-02-01,1\n", {}, r"column d holds dates or times, such as '2020-01-31'"),
        ("a,b,y\n1," + "k" * 300 + ",0\n2,z,1\n", {}, r"column b: line 2 of t\.csv has a text of 300 bytes"),
        (
            "a,b,y\n1,k,0\n2, ,1\n3,,1\n",
            {"missing": "refuse"},
            r"column b is empty in line 3 of t\.csv and 1 more, and",
        ),
        ("a,y\n1,0\n2,?\n3,1\n", {"missing": "refuse"}, r"column y is empty in line 3 of t\.csv, and"),
        ("a,y\n1,\n2,?\n", {}, r"target y is missing in all 2 rows"),
        (
            "a,y\n1,no\n2,No \n",
            {},
            r"target y is 'no' in all rows that have one, so .*: name another",
        ),
        ("a,y\n1,0.5\n2,0.5\n", {}, r"target y is '0\.5' in all rows that have one, so"),
        ("y\n1\n2\n", {}, r"no column to learn y from"),
        (GOOD, {"target": "Y"}, r"target: there is no column 'Y': did you mean 'y'\? There are a, b, y"),
        (GOOD, {"node": "c"}, r"node: there is no column 'c'"),
        (GOOD, {"drop": ["aa"]}, r"drop: there is no column 'aa': did you mean 'a'\?"),
        (GOOD, {"text": ["c"]}, r"text: there is no column 'c'"),
        (GOOD, {"rename": {"c": "d"}}, r"rename: there is no column 'c'"),
        (GOOD, {"rename": {"a": "b"}}, r"rename gives t\.csv two columns named 'b'"),
        (GOOD, {"drop": "a"}, r"drop must be a list of names, such as drop=\('a',\); got 'a'"),
        (GOOD, {"drop": ["y"]}, r"column 'y' is the target, and drop names it too"),
        (GOOD, {"node": "y"}, r"column 'y' cannot be both node and target"),
        (GOOD, {"text": ["a"], "numeric": ["a"]}, r"'a' is in text and in numeric"),
        (GOOD, {"missing": "mean"}, r"missing must be 'impute' or 'refuse'"),
        (GOOD, {"task": "rank"}, r"task must be"),
        (GOOD, {"test": 1.5}, r"test must be a fraction"),
        (GOOD, {"max_categories": 1}, r"max_categories must be at least 2"),
        (GOOD, {"positive": "2"}, r"the target y has no label '2': It has 0, 1"),
        (GOOD, {"encoding": "utf9"}, r"unknown encoding 'utf9'"),
        (GOOD, {"delimiter": "::"}, r"delimiter must be one character"),
        (GOOD, {"decimal": "'"}, r"decimal must be"),
        (GOOD, {"decimal": ",", "delimiter": ","}, r"could not be told"),
        ("a,y\n1,q\n2,1.25\n3,1\n", {"task": "regression"}, r"'q' in line 2 .*task='classification'"),
        (
            "a,y\n1,a\n2,b\n3,c\n",
            {"positive": "a"},
            r"for two classes, the target y has 3: a, b, c; positive=\('a',\) makes two",
        ),
        ("a,y\n1,a\n2,b\n", {"positive": ["b", "a"]}, r"positive names all labels of the target y \(b, a\)"),
        ("a,y\n1,a\n2,b\n3,c\n", {"positive": ["a", "d"]}, r"the target y has no label 'd': It has a, b, c"),
        ("a,y\n1,a\n2,b\n", {"positive": ">0"}, r"no label '>0', and a comparison is for a target of numbers"),
        (GOOD, {"positive": []}, r"positive is an empty list"),
        (GOOD, {"positive": ["1", None]}, r"positive must be a label, a list of labels or a comparison"),
        (GOOD, {"positive": ">2"}, r"positive: y is <=2 in all rows that have one, .*another number than 2"),
        (GOOD, {"positive": ">0", "task": "regression"}, r"positive is for classes, and y is a number to predict"),
        ("a,y\n1,0.5\n2,1.5\n", {"positive": 1.5}, r"positive is for classes, and y is a number to predict"),
        ("i,a,y\n7,1,0\n7,2,1\n8,3,0\n8,4,0\n", {"id": "i"}, r"'7' is in line 2 .* again in line 3 .*; so are 8: "),
        ("i,a,y\n7,1,0\n,2,1\n", {"id": "i"}, r"id column i is empty in line 3 of t\.csv: every row needs one"),
        ("h,a,y\nu,1,0\n?,2,1\n", {"node": "h"}, r"node column h is empty in line 3 .*every row needs one"),
    ],
)
def test_what_cannot_be_read_says_where_and_what_to_do(write, content, options, message):
    with pytest.raises(BadInput, match=message) as e:
        read(write(content), **options)
    assert "\n" not in str(e.value)


def test_text_that_tells_rows_apart_is_refused_unless_wanted(write):
    path = write("n,y\n" + "".join(f"name{i},{i % 2}\n" for i in range(60)))
    with pytest.raises(BadInput, match=r"column n has 60 different texts in 60 rows.*drop=\('n',\), or text=\('n',\)"):
        read(path)
    assert len(read(path, text=["n"])) == 60


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("goo.csv", r"there is no file goo\.csv: did you mean 'good\.csv'\?"),
        ("q/good.csv", r"there is no file q/good\.csv: there is no folder q either"),
        ("empty", r"the folder empty has no file that ends in \.csv.*it holds x\.json"),
        ("empty/*.csv", r"no file matches empty/\*\.csv"),
        (["good.csv", "good.csv"], r"good\.csv is named twice"),
        ([], r"path must be a file, a folder, a pattern"),
        (3, r"path must be a file"),
    ],
)
def test_paths_at_which_there_is_nothing(write, path, message):
    write(GOOD, "good.csv")
    write("{}", "empty/x.json")
    with pytest.raises(BadInput, match=message):
        read(path)


@pytest.mark.parametrize("path", ["h", "h/*.csv", ["h/ann.csv", "h/bob.csv"]])
def test_one_file_for_each_node(write, path):
    write(GOOD, "h/bob.csv")
    write("b,y,a\nx,0,5\nz,1,6\n", "h/ann.csv")
    table = read(path)
    assert table.split().node_names == ("ann", "bob")
    assert sorted(table.split().sizes) == [2, 3]
    assert sorted(cells(table)["a"]) == [1, 2, 3, 5, 6]


def test_files_that_share_a_name_are_told_apart_by_their_folder(write):
    paths = [write(GOOD, "ann/data.csv"), write(GOOD, "bob/data.csv")]
    assert read(paths).split().node_names == ("ann", "bob")
    paths.append(write(GOOD, "bob/more.csv"))
    assert read(paths).split().node_names == ("ann/data", "bob/data", "bob/more")


def test_a_column_may_be_text_in_one_file_only(write):
    write("w,y\n1,0\n2,1\n", "h/a.csv")
    write("w,y\nlow,0\nhigh,1\nlow,1\n", "h/b.csv")
    assert cells(read("h"))["w"] == [b"1", b"2", b"low", b"high", b"low"]


def test_a_column_that_a_file_lacks_is_missing_there(write):
    write(GOOD, "h/a.csv")
    write("b,c,y\nx,7,0\nz,8,1\n", "h/b.csv")
    table = read("h")
    found = cells(table)
    assert (found["a"][:3], found["b"], found["c"][3:]) == ([1, 2, 3], [b"x", b"z", b"x", b"x", b"z"], [7, 8])
    assert np.isnan([*found["a"][3:], *found["c"][:3]]).all()
    assert {"h/a.csv has no c: missing in all its rows", "h/b.csv has no a: missing in all its rows"} < {*table.lines}
    data = table.split()
    assert data.feature_names == ("a", "a missing", "b = x", "b = z", "c", "c missing")
    assert data.x[:, 1].tolist() == [0, 0, 0, 1, 1]
    # Names that only options know may be in one file only.
    assert read("h", text=["c"], numeric=["a"], drop=["b"]).split().feature_names[-2:] == ("c = 8", "c missing")


def test_a_column_that_is_spelled_in_two_ways_is_refused(write):
    write(GOOD, "h/a.csv")
    write(GOOD.replace("a,b", "A,b"), "h/b.csv")
    with pytest.raises(BadInput, match=r"h/a\.csv has a column 'a' and h/b\.csv a column 'A': .*rename=\{'A': 'a'\}"):
        read("h")
    assert cells(read("h", rename={"A": "a"}))["a"] == [1, 2, 3, 1, 2, 3]
    write(GOOD.replace("a,b", "a,A").replace("x", "1").replace("z", "2"), "h/b.csv")  # one has both
    assert read("h").schema.numbers == ("a", "A")


def test_a_file_without_rows_is_left_out_and_said(write):
    write(GOOD, "h/a.csv")
    write("a,b,y\n", "h/b.csv")
    write(GOOD, "h/c.csv")
    table = read("h")
    assert table.split().node_names == ("a", "c")
    assert "h/b.csv has names of columns but no rows: left out" in table.lines
    for name in "ac":
        write("a,b,y\n", f"h/{name}.csv")
    with pytest.raises(BadInput, match=r"h/a\.csv has names of columns but no rows"):
        read("h")


def test_all_that_is_wrong_with_a_folder_is_said_at_once(write):
    write(GOOD, "h/a.csv")
    write(b"", "h/b.csv")
    write("a,b,y\n1,x,0,\n", "h/c.csv")
    with pytest.raises(BadInput) as e:
        read("h")
    assert str(e.value).startswith("2 of 3 files cannot be read: (1) h/b.csv is empty: ")
    assert "; (2) line 2 of h/c.csv has 4 values" in str(e.value)
    for i in range(9):
        write("a,a\n1,1\n", f"h/d{i}.csv")
    with pytest.raises(BadInput, match=r"^11 of 12 files cannot be read: .*; and 6 more$"):
        read("h")


def test_all_columns_that_do_not_fit_are_said_at_once(write):
    write("a,d,e,y\n1,2020-01-31,,0\n2,2020-02-01,,1\n")
    with pytest.raises(BadInput, match=r"^2 columns do not fit: \(1\) column d holds dates.*; \(2\) column e has no"):
        read("t.csv")
    with pytest.raises(BadInput, match=r"^2 columns have gaps: \(1\) column a is empty.*; \(2\) column b is empty"):
        read(write("a,b,y\n?,1,0\n1,,1\n"), missing="refuse")
    write(GOOD, "h/a.csv")
    for name in "bc":
        write(GOOD.replace("y", "z"), f"h/{name}.csv")
    with pytest.raises(BadInput, match=r"^2 columns are not where .*\(1\) target: h/b\.csv has no column 'y'.*\(2\) t"):
        read("h")


# -- where files stand -------------------------------------------------------------------------------------------------


def test_a_folder_for_each_node(write):
    for site in ("site-1", "site-2", "site-10"):
        write(GOOD, f"all/{site}/data.csv")
    write(GOOD, "all/site-2/more.csv")
    write("{}", "all/site-2/.hidden/x.csv")
    write("", "all/_SUCCESS/x.csv")
    split = read("all").split()
    assert (split.node_names, split.sizes) == (("site-1", "site-10", "site-2"), [3, 3, 6])
    assert read("all/*/data.csv").split().node_names == ("site-1", "site-10", "site-2")
    # Links are followed, but not back.
    Path("all/site-3").symlink_to("../elsewhere", target_is_directory=True)
    write(GOOD, "elsewhere/data.csv")
    Path("all/site-1/back").symlink_to("..", target_is_directory=True)
    assert read("all").split().sizes == [3, 3, 6, 3]
    Path("all/site-3").unlink()
    # A folder around all of them tells nothing apart.
    (Path("all")).rename("inner")
    Path("outer").mkdir()
    Path("inner").rename("outer/inner")
    assert read("outer").split().node_names == ("site-1", "site-10", "site-2")
    # Files of the folder itself come first, as ever.
    write(GOOD, "outer/t.csv")
    assert len(read("outer")) == 3


def test_a_folder_of_too_much_is_not_looked_through(write, monkeypatch):
    monkeypatch.setattr(files, "MOST_FILES", 20)
    for i in range(30):
        write("{}", f"all/{i}/x.json")
    with pytest.raises(BadInput, match="there is too much in all to look for tables there: name a folder or a pattern"):
        read("all")


def test_a_folder_may_say_that_there_is_nothing(write):
    for name in ("w=NA", "w=red", "w=__HIVE_DEFAULT_PARTITION__", "w=", "w=a=b"):
        write(GOOD, f"all/{name}/t.csv")
    found = cells(read("all", node="b", drop=["a"]))
    assert sorted({*found["w"]}) == [b"", b"a=b", b"red"]
    with pytest.raises(BadInput, match=r"node column w is empty in line 2 of all/w=/t\.csv and in 8 other rows"):
        read("all", node="w")


def test_folders_that_give_columns(write):
    for hospital, year in (("Long%20Beach", 2020), ("Long%20Beach", 2021), ("Basel", 2020)):
        folder = Path(f"all/hospital={hospital}/year={year}")
        folder.mkdir(parents=True)
        table = pa.table({"a": [1, year], "y": [0, 1]})
        pq.write_table(table, folder / "part-0.parquet")
    options = {"target": "y", "test": None}
    table = load("parquet", path="all", **options)
    split = table.split()
    assert (split.node_names, split.sizes) == (("Basel", "Long Beach"), [2, 4])
    assert split.feature_names == ("a", "year")
    assert cells(table)["year"] == [2020, 2020, 2020, 2020, 2021, 2021]
    for path in ("all/*/*/*.parquet", sorted(map(str, Path("all").rglob("*.parquet")))):
        again = load("parquet", path=path, **options)
        assert torch.equal(again.split().x, split.x)
        assert again.split().node_names == split.node_names
    by_year = load("parquet", path="all", node="year", drop=["hospital"], **options)
    assert by_year.split().node_names == ("2020", "2021")
    assert by_year.split().feature_names == ("a",)
    renamed = load("parquet", path="all", rename={"hospital": "where"}, node="where", **options)
    assert renamed.split().node_names == split.node_names
    # Above what was named, folders say nothing of the rows.
    assert load("parquet", path="all/hospital=Basel/year=2020", **options).split(IID(), nodes=1).feature_names == ("a",)
    # A file's own column is its own, and what no folder names is missing.
    pq.write_table(pa.table({"a": [1, 2], "year": [7, 8], "y": [0, 1]}), "all/hospital=Basel/year=2020/part-0.parquet")
    assert cells(load("parquet", path="all", **options))["year"][:2] == [7, 8]


def test_rows_without_a_target_are_left_out_and_said(write):
    table = read(write("h,a,y\nu,1,0\nv,2,?\nv,3,1\n"), node="h")
    assert (len(table), table.node.tolist()) == (2, ["u", "v"])
    assert "1 row without a y left out" in table.lines


def test_nodes_that_are_integers_are_in_order_of_their_value(write):
    table = read(write("h,a,y\n10,1,0\n9,2,1\n"), node="h")
    assert table.split().node_names == ("9", "10")


@pytest.mark.parametrize(
    ("values", "task", "classes", "line"),
    [
        (["0", "1", "2"], None, ("0", "1", "2"), "y has 3 classes, as it holds few different integers"),
        (["10", "9", "10"], None, ("9", "10"), "y has 2 classes, as it holds few different integers"),
        (["yes", "No ", "YES"], None, ("no", "yes"), "y has 2 classes, as it holds text"),
        (["0.5", "1", "2"], None, None, "y is a number to predict"),
        ([str(i) for i in range(21)], None, None, "y is a number to predict"),
        (["0", "1", "0"], "regression", None, "y is a number to predict"),
        (["0.5", "1.5", "0.5"], "classification", ("0.5", "1.5"), "y has 2 classes"),
    ],
)
def test_the_task_is_guessed_from_the_target_and_said(write, values, task, classes, line):
    table = read(write("a,y\n" + "".join(f"{i},{v}\n" for i, v in enumerate(values))), task=task)
    assert table.class_names == classes
    assert any(said.startswith(line) for said in table.lines)


def test_the_positive_label_is_class_one(write):
    table = read(write("a,y\n1,Sick\n2,well\n3,sick\n"), positive="SICK")
    assert (table.class_names, table.y.tolist()) == (("well", "sick"), [1, 0, 1])
    fed = table.split(IID(), nodes=2)
    assert (fed.class_names, fed.y.tolist()) == (("well", "sick"), [1, 0, 1])


NUMBERS = "a,y\n1,0\n2,1\n3,4\n4,?\n5,2.0\n6,0\n"


@pytest.mark.parametrize(
    ("positive", "names", "labels"),
    [
        (">0", ("<=0", ">0"), [0, 1, 1, 1, 0]),
        (" >= 2 ", ("<2", ">=2"), [0, 0, 1, 1, 0]),
        ("<1.5", (">=1.5", "<1.5"), [1, 1, 0, 0, 1]),
        ("<=1", (">1", "<=1"), [1, 1, 0, 0, 1]),
        ("=2", ("!=2", "=2"), [0, 0, 0, 1, 0]),
        ("!=0", ("=0", "!=0"), [0, 1, 1, 1, 0]),
        ([1, 2, 4], ("0", "1, 2 or 4"), [0, 1, 1, 1, 0]),
        (["4"], ("other", "4"), [0, 0, 1, 0, 0]),
        ([4, 2.0], ("other", "2 or 4"), [0, 0, 1, 1, 0]),
    ],
)
def test_two_classes_of_a_target_of_numbers(write, positive, names, labels):
    table = read(write(NUMBERS), positive=positive)
    assert (table.class_names, table.y.tolist()) == (names, labels)
    fed = table.split(IID(), nodes=2)
    assert (fed.class_names, fed.y.tolist()) == (names, labels)


def test_two_classes_of_many_amounts_or_labels(write):
    amounts = read(write("a,y\n" + "".join(f"{i},{i / 7}\n" for i in range(150))), positive=">10")
    assert (amounts.class_names, int(amounts.y.sum())) == (("<=10", ">10"), 79)
    codes = "a,y\n" + "".join(f"{i},I{i % 130}\n" for i in range(400))
    several = read(write(codes), positive=["i3", "I1", "I20", "I21", "I22", "I24"])
    assert several.class_names == ("other", "i1, i20, i21, i22 or 2 more")
    assert int(several.y.sum()) == 2 * 4 + 4 * 3


def test_a_label_that_looks_like_a_comparison_is_a_label(write):
    for low, high in (("<=50K", ">50K"), ("<=50", ">50")):
        table = read(write(f"a,y\n1,{low}\n2,{high}\n3,{low}\n"), positive=low)
        assert table.class_names == (high.lower(), low.lower())
        assert table.y.tolist() == [1, 0, 1]


def test_a_table_divides_like_any_data_set(write):
    rows = "".join(f"{i % 7},{'uv'[i % 2]},{i % 3}\n" for i in range(60))
    table = read(write("a,w,y\n" + rows), test=0.2)
    assert isinstance(table, Table)
    assert repr(table) == "Table('t': 48 rows of 2 columns, 3 classes of y (0, 1, 2), 12 test rows)"
    fed = table.split(Dirichlet(alpha=0.5), nodes=3, holdout=0.2)
    assert sum(fed.sizes) + sum(fed.holdout_sizes) == 48
    assert fed.test_x.shape == (12, 3)
    assert table.x.shape == (48, 3)
    with pytest.raises(BadInput, match=r"'t' does not say whose rows are whose: name the column \(node\)"):
        table.split()
    with pytest.raises(BadInput, match="name the column"):
        table.split(Natural())


# -- Parquet -------------------------------------------------------------------------------------------------------


def test_parquet_holds_the_same(write, tmp_path):
    columns = {
        "a": pa.array([1, 2, None, 4]),
        "f": pa.array([0.5, float("nan"), 1.5, 2.5], pa.float32()),
        "b": pa.array([True, False, None, True]),
        "w": pa.array(["x", " X ", "?", "z"]).dictionary_encode(),
        "y": pa.array([0, 1, 0, 1], pa.int8()),
        "big": pa.array([2**60 + 1, 2**60 + 2, 2**60 + 3, 2**60 + 4]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = load("parquet", path="t.parquet", target="y", id="big", test=None)
    found = cells(table)
    assert np.isnan(found["a"][2])
    assert np.isnan(found["f"][1])
    assert found["b"] == [b"true", b"false", b"", b"true"]
    assert found["w"] == [b"x", b"x", b"", b"z"]
    assert table.class_names == ("0", "1")
    fed = table.split(IID(), nodes=2)
    assert fed.preparation.recipe.transform("t.parquet").shape == fed.x.shape
    assert fed.preparation.recipe.transform("t.parquet").tolist() == fed.x.tolist()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [[1], [2]], "y": [0, 1]}, r"column a of t\.parquet holds list<.*drop=\('a',\)"),
        ({"d": [datetime.date(2020, 1, 1)] * 2, "y": [0, 1]}, r"column d holds dates or times"),
        ({"a": [1, float("inf")], "y": [0, 1]}, r"column a: 'inf' in row 2 of t\.parquet is infinite"),
        ({"a": [1, 2], "y": [0, 0]}, r"target y is '0' in all rows that have one"),
        ({"a": pa.array([], pa.int64()), "y": pa.array([], pa.int64())}, r"no rows"),
    ],
)
def test_parquet_that_does_not_do(write, tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(BadInput, match=message):
        load("parquet", path="t.parquet", target="y", test=None)


def test_a_file_that_is_not_parquet(write):
    with pytest.raises(BadInput, match=r"t\.parquet cannot be read as Parquet: "):
        load("parquet", path=write(GOOD, "t.parquet"), target="y")


def test_pyarrow_is_imported_only_when_a_table_is_read():
    code = "import sys, foedus.data; assert 'pyarrow' not in sys.modules"
    env = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_pyarrow_it_says_what_to_install(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BadInput, match="pip install pyarrow"):
        read(write(GOOD))


def test_names_of_columns_are_compared_in_linear_time(write):
    names = [f"c{i}" for i in range(60_000)]
    started = time.process_time()
    check_names(Path("wide.csv"), names)
    check_known("drop", names, names)
    with pytest.raises(BadInput, match=r"more than one column named 'c0', 'c1', .* and 59988 more"):
        check_names(Path("wide.csv"), names + names)
    assert time.process_time() - started < 5  # a name against all others takes a minute


def test_a_table_of_many_columns_is_read_and_split(write):
    names = ",".join(f"c{i}" for i in range(2000))
    rows = "".join(",".join(str((i * r) % 7 / 2) for i in range(2000)) + "\n" for r in range(1, 9))
    table = load(
        "csv", path=write(f"{names}\n{rows}"), target="c5", drop=[f"c{i}" for i in range(1000, 2000)], test=None
    )
    assert table.split(IID(), nodes=2).x.shape == (8, 999)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted where the system lists them")
def test_a_small_file_is_read_without_threads_that_may_abort_a_process_that_ends():
    code = """
import os, sys
from pathlib import Path
import pyarrow.csv
from foedus.data.tables.arrow import read_csv
from foedus.data.tables.files import Reading, open_text
before = len(os.listdir("/proc/self/task"))
read_csv(open_text(Path(sys.argv[1]), Reading()), Reading(), lambda name: True)
print(len(os.listdir("/proc/self/task")) - before)
"""
    file = Path(__file__).parents[3] / "examples" / "hospitals.csv"
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 1  # the one that reads ahead


@pytest.mark.parametrize("space", ["", " ", "\t", "\x0b", "\u00a0", "\u2003", "é"])
def test_spaces_of_any_kind_are_no_part_of_a_cell(space):
    words = ["a", f"{space}a", f"b{space}c", f"{space}NA{space}", "null", None, ""]
    cells = Cells.of(words, Reading())
    gone = [w is None or w.strip().lower() in ("na", "null", "") for w in words]
    assert cells.gaps() == sum(gone)
    there = [w.strip() for w, none in zip(words, gone, strict=True) if not none]
    assert cells.all_different() == (len(set(there)) == len(there))
    assert cells.missing.tolist() == gone
    codes, found = cells.texts()
    assert [found[i] for i in codes if i >= 0] == there


def test_a_note_beside_tables_and_a_title_above_names_are_told_from_damage(tmp_path):
    (tmp_path / "t").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "t" / name).write_text(GOOD)
    (tmp_path / "t" / "README.txt").write_text("Extracts of March, by IT.\nAsk Eva.\n")
    with pytest.raises(BadInput, match=r"line 2 of .*README.txt has 1 values.*if it is no table, move it elsewhere"):
        load("csv", path=tmp_path / "t", target="y")
    (tmp_path / "one.txt").write_text("a,b,y\n1,2\n")
    with pytest.raises(BadInput, match=r"mend the line, or quote a value that holds ','$"):
        load("csv", path=tmp_path / "one.txt", target="y")
    (tmp_path / "titled.csv").write_text("Extract of March\n\n" + GOOD)
    with pytest.raises(BadInput, match="if the first line is a title, remove whatever stands above the names"):
        load("csv", path=tmp_path / "titled.csv", target="y")
