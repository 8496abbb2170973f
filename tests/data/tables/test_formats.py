"""Formats: a table is the same table, whatever format its file has."""

import contextlib
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest

import foedus as fd
from foedus.core.errors import BadInput
from foedus.data.sources import SOURCES
from foedus.data.tables import look
from foedus.data.tables.formats import FORMATS, SUFFIXES, format_of

ROWS = [
    {"age": 50, "sex": "f", "chol": 210.5, "site": "a, b", "sick": "no"},
    {"age": 61, "sex": None, "chol": None, "site": "it's", "sick": "yes"},
    {"age": 47, "sex": "m", "chol": 190.25, "site": "a, b", "sick": "no"},
    {"age": 39, "sex": "f", "chol": -1.5, "site": 'say "c"', "sick": "yes"},
] * 5


def quoted(value):
    return "?" if value is None else "'" + value.replace("'", "\\'") + "'" if isinstance(value, str) else str(value)


def write(path: Path, rows=ROWS) -> Path:
    """A table in the format that its name says."""
    name = path.name.removesuffix(".gz")
    names = list(rows[0])
    table = pa.Table.from_pylist(rows)
    if name.endswith((".csv", ".tsv", ".txt")):
        delimiter = "\t" if name.endswith(".tsv") else ","
        options = pyarrow.csv.WriteOptions(delimiter=delimiter)
        with (gzip.open if path.suffix == ".gz" else open)(path, "wb") as f:
            pyarrow.csv.write_csv(table, f, options)
    elif name.endswith(".parquet"):
        pyarrow.parquet.write_table(table, path)
    elif name.endswith(".feather"):
        pyarrow.feather.write_feather(table, path)
    elif name.endswith(".arrow"):
        with pa.OSFile(str(path), "wb") as f, pa.ipc.new_file(f, table.schema) as out:
            out.write_table(table)
    elif name.endswith(".orc"):
        pyarrow.orc.write_table(table, path)
    elif name.endswith(".jsonl"):
        path.write_text("".join(json.dumps({k: v for k, v in row.items() if v is not None}) + "\n" for row in rows))
    elif name.endswith(".xlsx"):
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for row in [names, *(list(r.values()) for r in rows)]:
            book.active.append(row)
        book.create_sheet("notes")
        book.save(path)
    elif name.endswith(".arff"):
        kinds = ["string" if isinstance(v, str) else "numeric" for v in rows[0].values()]
        head = [f"@attribute {n} {k}" for n, k in zip(names, kinds, strict=True)]
        body = [",".join(map(quoted, row.values())) for row in rows]
        path.write_text("\n".join(["% a comment", "@relation t", *head, "@data", *body]) + "\n")
    else:
        raise AssertionError(path)
    return path


@pytest.mark.parametrize(
    "file", ["t.tsv", "t.txt", "t.csv.gz", "t.parquet", "t.feather", "t.arrow", "t.orc", "t.jsonl", "t.xlsx", "t.arff"]
)
def test_the_same_table_in_any_format(tmp_path, file):
    options = {"target": "sick", "node": "site", "test": None}
    csv = fd.data.load("csv", path=write(tmp_path / "c.csv"), **options).split()
    path = write(tmp_path / file)
    source = format_of(path).source
    data = fd.data.load(source, path=path, **options).split()
    assert data.feature_names == csv.feature_names
    assert data.class_names == csv.class_names
    assert data.node_names == csv.node_names
    assert data.x.equal(csv.x)
    assert data.y.equal(csv.y)
    found = look(str(path))
    assert (found.source, found.rows, len(found.columns)) == (source, len(ROWS), 5)


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("t.csv", "line 4 of"), ("t.parquet", "row 3 of"), ("t.feather", "row 3 of"), ("t.orc", "row 3 of"),
        ("t.jsonl", "line 3 of"), ("t.xlsx", "row 4 of sheet 'Sheet' of"), ("t.arff", "line 9 of"),
    ],
)  # fmt: skip
def test_an_error_says_where_its_row_stands(tmp_path, file, place):
    rows = [{"a": i, "id": f"k{i}", "y": "uv"[i % 2]} for i in range(6)]
    rows[2]["id"] = "k0"
    path = write(tmp_path / file, rows)
    with pytest.raises(BadInput, match=f"again in {place} .*t\\."):
        fd.data.load(format_of(path).source, path=path, target="y", id="id")


def test_what_a_file_is_is_said_by_how_it_begins_before_its_name(tmp_path):
    path = write(tmp_path / "t.parquet").rename(tmp_path / "t.csv")
    assert format_of(path).source == look(str(path)).source == "parquet"
    with pytest.raises(BadInput, match=r"t\.csv is a Parquet file: load\(\"parquet\", \.\.\.\) reads it"):
        fd.data.load("csv", path=path, target="sick")
    assert format_of(tmp_path / "not there.XLSX").source == "excel"
    assert format_of(tmp_path / "adult.data").source == "csv"


def test_every_format_is_a_source_and_has_an_ending_of_its_own():
    assert set(FORMATS) <= set(SOURCES)
    assert len(set(SUFFIXES)) == len(SUFFIXES)


def test_a_folder_of_files_in_a_format_is_a_node_each(tmp_path):
    for name in ("mainz", "ulm"):
        write(tmp_path / f"{name}.jsonl")
    data = fd.data.load("jsonl", path=tmp_path, target="sick", drop=["site"], test=None).split()
    assert (data.node_names, data.sizes) == (("mainz", "ulm"), [20, 20])


def test_nodes_may_have_files_of_different_formats(tmp_path):
    paths = [str(write(tmp_path / file)) for file in ("a.jsonl", "b.xlsx", "c.csv")]
    file = fd.data.TableFile(paths, "sick", {"drop": ["site"], "sheet": "Sheet", "delimiter": ","})
    assert [file(node).rows.sheet.rows for node in range(3)] == [20, 20, 20]


@pytest.mark.parametrize("file", ["t.feather", "t.orc", "t.jsonl", "t.xlsx", "t.arff", "t.arrow"])
@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_file_is_read_or_refused(tmp_path, file, seed):
    path = write(tmp_path / file)
    r = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for at in r.integers(0, len(data), 1 + seed):
        data[at] ^= 1 << int(r.integers(8))
    path.write_bytes(bytes(data[: len(data) - seed * 7]))
    source = format_of(tmp_path / f"x{path.suffix}").source
    with contextlib.suppress(BadInput):  # no other error, and no crash
        assert len(fd.data.load(source, path=path, target="sick", test=None)) <= 2 * len(ROWS)
