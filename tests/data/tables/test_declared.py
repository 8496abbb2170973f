"""What a file declares to be a category is one, although its values are digits; what it has as text is remarked."""

import json

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

import foedus as fd
from foedus.core.errors import BadInput
from foedus.data import AtNodes, TableFile, load
from foedus.data.tables import look

WARD, AGE, GRADE = [0, 1, 2, 10] * 10, [30 + i for i in range(40)], [i * 7 // 3 % 4 for i in range(40)]
ROWS = list(zip(WARD, AGE, GRADE, strict=True))
WARDS = ("ward = 0", "ward = 1", "ward = 10", "ward = 2")


def arff(path, rows=ROWS, ward="{0,1,2,10}", grade="{0,1,2,3}"):
    head = f"@relation t\n@attribute ward {ward}\n@attribute age numeric\n@attribute grade {grade}\n@data\n"
    path.write_text(head + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def table(of):
    declared = pa.array([None if v is None else of(v) for v in WARD]).dictionary_encode()
    return pa.table({"ward": declared, "age": AGE, "grade": pa.array(list(map(of, GRADE))).dictionary_encode()})


def write(path, kind):
    if path.suffix == ".arff":
        return arff(path)
    if kind == "pandas":  # of integers Parquet keeps the type, and pandas notes that they were a category
        pytest.importorskip("pandas")
        frame = table(int).to_pandas()
        assert str(frame["ward"].dtype) == "category"
        frame.to_parquet(path)
        return path
    pyarrow_write = pa.parquet.write_table if path.suffix == ".parquet" else pa.feather.write_feather
    pyarrow_write(table({"text": str, "integers": int, "floats": float}[kind]), path)
    return path


KINDS = [
    ("t.arff", ""), ("t.parquet", "text"), ("t.parquet", "pandas"), ("t.feather", "integers"), ("t.feather", "floats"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_declared_category_is_one_although_its_values_are_digits(tmp_path, name, kind):
    path = write(tmp_path / name, kind)
    found = look(path)
    assert [c.kind for c in found.columns] == ["text", "number", "text"]
    assert "text" not in found.options  # nothing has to be said
    source = {"arff": "arff", "parquet": "parquet", "feather": "arrow"}[path.suffix[1:]]
    t = load(source, path=path, target="grade", test=None)
    assert t.class_names == ("0", "1", "2", "3")
    assert "grade has 4 classes, as it holds what its file declares a category" in "\n".join(t.lines)
    assert t.split(fd.data.IID(), nodes=2).feature_names == (*WARDS, "age")
    assert load(source, path=path, target="grade", positive=">=2", test=None).class_names == ("<2", ">=2")
    number = load(source, path=path, target="grade", numeric=["ward"], task="regression", test=None)
    assert number.classes is None
    assert number.split(fd.data.IID(), nodes=2).feature_names == ("ward", "age")


def test_a_target_of_many_declared_labels_is_classes_and_no_amount(tmp_path):
    rows = [(0, i % 7, i % 25) for i in range(75)]
    path = arff(tmp_path / "t.arff", rows, grade="{" + ",".join(map(str, range(25))) + "}")
    assert load("arff", path=path, target="grade", drop=["ward"], test=None).classes == 25
    found = look(path, target="grade", split="iid")
    assert (found.classes, found.questions) == (25, ())
    amount = arff(tmp_path / "n.arff", rows, grade="numeric")
    assert load("arff", path=amount, target="grade", drop=["ward"], test=None).classes is None


@pytest.mark.parametrize("ward", ["{0,1,2,10}", "numeric"])
def test_nodes_that_keep_their_files_agree_on_the_same(tmp_path, ward):
    files = [arff(tmp_path / "a.arff", ROWS[:20]), arff(tmp_path / "b.arff", ROWS[20:], ward)]
    here = load("arff", path=files, target="grade", test=None).split()
    there = AtNodes(TableFile(list(map(str, files)), target="grade"), 2).ask(fd.Simulation())
    assert here.feature_names == (*WARDS, "age")
    assert there.preparation.recipe == here.preparation.recipe


def test_nodes_that_have_a_category_and_an_amount_are_asked_which_it_is(tmp_path):
    rows = [(0, i, i) for i in range(40)]
    arff(tmp_path / "a.arff", rows[:20], grade="{" + ",".join(map(str, range(20))) + "}")
    arff(tmp_path / "b.arff", [(0, i, i / 8) for i in range(40)], grade="numeric")
    files = [str(tmp_path / "a.arff"), str(tmp_path / "b.arff")]
    with pytest.raises(BadInput, match=r"or a category.*is an amount at some"):
        AtNodes(TableFile(files, target="grade"), 2).ask(fd.Simulation())


REMARK = "ward: numbers stored as text, as others are not: if they are codes and no amounts, text = [ward]"


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet", "t.xlsx", "t.csv"])
def test_numbers_that_only_their_file_has_as_text_are_remarked(tmp_path, name):
    rows = [{"ward": str(w), "age": a, "grade": g} for w, a, g in ROWS]
    path = tmp_path / name
    if name == "t.jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif name == "t.parquet":
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif name == "t.xlsx":
        book = pytest.importorskip("openpyxl").Workbook()
        for row in [[*rows[0]], *(list(r.values()) for r in rows)]:
            book.active.append(row)
        book.save(path)
    else:
        path.write_text("ward,age,grade\n" + "".join(f"{w},{a},{g}\n" for w, a, g in ROWS))
    said = "\n".join(look(path, target="grade", task="classification", split="iid").lines)
    assert (REMARK in said) == (name != "t.csv")
    assert REMARK not in "\n".join(look(path, target="grade", split="iid", text=["ward"]).lines)


def test_a_file_that_has_all_as_text_says_nothing_by_it(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"ward": str(w), "age": str(a), "y": str(g)}) + "\n" for w, a, g in ROWS))
    assert "stored as text" not in "\n".join(look(path, target="y", split="iid").lines)


def test_units_are_known_where_something_stands_for_nothing_by_its_value(tmp_path):
    for name, unit in (("a", "EUR"), ("b", "USD")):
        cells = [f"{i}.5 {unit},{i % 2}" if i else "0,1" for i in range(20)]
        (tmp_path / f"{name}.csv").write_text("price,y\n" + "\n".join(cells) + "\n")
    options = {"numeric": ["price"], "missing_values": {"price": ["0"]}}
    files = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    with pytest.raises(BadInput, match="price holds amounts in two units"):
        AtNodes(TableFile(files, target="y", options=options), 2).ask(fd.Simulation())
