"""What cells mean: what stands for nothing in which column, one spelling of a value, amounts with units."""

import json
import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import BadInput
from foedus.data import IID, load
from foedus.data.tables import Recipe
from foedus.data.tables.amounts import Amount, amount


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Writes lines as a CSV, or columns as a Parquet file, and loads it."""
    monkeypatch.chdir(tmp_path)

    def make(content, **options):
        if isinstance(content, str):
            (tmp_path / "t.csv").write_text(content, encoding="utf-8")
        else:
            pq.write_table(pa.table(content), tmp_path / "t.parquet")
        name = "csv" if isinstance(content, str) else "parquet"
        return load(name, path=f"t.{name}", **({"target": "y", "test": None} | options))

    return make


def numbers(table, name):
    return [None if np.isnan(v) else v for v in table.schema.unpack(table.records)[name].tolist()]


def words(table, name):
    return [w.decode() for w in table.schema.unpack(table.records)[name].tolist()]


# -- what stands for nothing -------------------------------------------------------------------------------------------


def test_zero_stands_for_nothing_in_one_column_only(table):
    read = table("chol,rate,y\n0,0,0\n0.0,1,1\n?,2,0\n210,3,1\n", missing_values={"chol": ["0"]})
    assert numbers(read, "chol") == [None, None, None, 210]
    assert numbers(read, "rate") == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.float32(), pa.float64(), pa.decimal128(9, 2)])
def test_a_value_stands_for_nothing_whatever_the_type_of_its_file(table, kind):
    values = [Decimal(v) if pa.types.is_decimal(kind) else v for v in (0, 5, -9)]
    columns = {"a": pa.array([*values, None], kind), "y": ["n", "y", "n", "y"]}
    assert numbers(table(columns, missing_values=["0.0", -9]), "a") == [None, 5, None, None]
    assert numbers(table(columns), "a") == [0, 5, -9, None]


def test_a_value_is_that_of_its_column_s_type(table):
    columns = {"a": pa.array([-9.9, 1.5], pa.float32()), "y": [0, 1]}
    assert numbers(table(columns, missing_values={"a": [-9.9]}), "a") == [None, 1.5]


def test_a_code_is_no_value(table):
    read = table("code,y\n0,n\n000,y\n7,n\n0,y\n", text=["code"], missing_values=["0"])
    assert words(read, "code") == ["", "000", "7", ""]


def test_what_a_column_says_adds_to_what_all_say(table):
    content = "a,b,y\n?,-,0\n-,1,1\nx,2,0\n"
    with pytest.raises(BadInput, match=r"column a: 'x' in line 4|column a has no value"):
        table(content, missing_values={"a": ["x", "-"], "b": ["-"]})
    read = table(content, missing_values={"*": ["-"], "a": ["x"]})
    assert (words(read, "a"), numbers(read, "b")) == (["?", "", ""], [None, 1, 2])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("NA", r"missing_values of \* must be a list of texts or numbers, such as .*got 'NA'"),
        ({"a": "0"}, r"missing_values of a must be a list"),
        ([True], r"must be a list of texts or numbers"),
        ({"aa": ["0"]}, r"missing_values: there is no column 'aa': did you mean 'a'\?"),
    ],
)
def test_missing_values_that_do_not_fit(table, option, message):
    with pytest.raises(BadInput, match=message):
        table("a,y\n1,0\n2,1\n", missing_values=option)


# -- spelling ----------------------------------------------------------------------------------------------------------


def test_a_value_may_be_read_as_another(table):
    content = "sex,n,y\nM,ten,Sick\n male,2,well\nf,3,ill\nFemale,-,well\n"
    says = {"sex": {"m": "male", "F": "female"}, "n": {"ten": "10", "-": "?"}, "y": {"ill": "sick"}}
    read = table(content, spelling=says)
    assert words(read, "sex") == ["male", "male", "female", "female"]
    assert numbers(read, "n") == [10, 2, 3, None]
    assert read.class_names == ("sick", "well")
    recipe = read.split(IID(), nodes=1).preparation.recipe
    x = recipe.transform({"sex": ["M", "FEMALE"], "n": ["ten", 3]})
    assert x.tolist() == recipe.transform({"sex": ["male", "f"], "n": [10, 3]}).tolist()


def test_spelling_heeds_case_where_the_table_does(table):
    read = table("w,y\nM,0\nm,1\n", spelling={"w": {"M": "male"}}, ignore_case=False)
    assert words(read, "w") == ["male", "m"]


def test_numbers_of_a_typed_file_may_be_read_as_texts(table):
    read = table({"w": [1.0, 2.0, 1.0], "y": [0, 1, 0]}, spelling={"w": {"1": "low", "2": "high"}})
    assert words(read, "w") == ["low", "high", "low"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"ww": {"a": "b"}}, r"spelling: there is no column 'ww': did you mean 'w'\?"),
        ({"a": "b"}, r"spelling must say of columns what is read as what"),
    ],
)
def test_spelling_that_does_not_fit(table, option, message):
    with pytest.raises(BadInput, match=message):
        table("w,y\na,0\nb,1\n", spelling=option)


# -- amounts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "decimal", "number", "unit"),
    [
        ("1,234.50 €", ".", "1234.50", "€"),
        ("$5", ".", "5", "$"),
        ("-$1,234", ".", "-1234", "$"),
        ("$-5", ".", "-5", "$"),
        ("\u2212US$ 7", ".", "-7", "US$"),
        ("45 %", ".", "45", "%"),
        ("1'234'567.5", ".", "1234567.5", ""),
        ("1\u202f234", ".", "1234", ""),
        ("1.234,50 EUR", ",", "1234.50", "EUR"),
        ("CHF 5,5", ",", "5.5", "CHF"),
        ("0,5", ",", "0.5", ""),
        ("5 mg/dl", ".", "5", "mg/dl"),
        ("3 yrs.", ".", "3", "yrs."),
        ("1e5", ".", "1e5", ""),
        (".5", ".", ".5", ""),
    ],
)
def test_an_amount_is_a_number_and_its_unit(word, decimal, number, unit):
    assert amount(word, decimal) == Amount(number, unit)


@pytest.mark.parametrize(
    "word", ["", "high", "1,23", "12,34.5", "1,2345", "1.2.3", "A1", "$5 €", "1,234'567", "5 - 7", "1,", "2020-01-31"]
)
def test_what_is_no_amount(word):
    assert amount(word) is None


@given(st.integers(-(10**9), 10**9), st.integers(0, 99), st.sampled_from([",", "'", " ", "_"]))
def test_marks_between_thousands_change_no_number(whole, cents, mark):
    written = f"{whole:,}.{cents:02d}".replace(",", mark)
    assert float(amount(f"{written} $").number) == float(f"{whole}.{cents:02d}")
    assert amount(written).number == f"{whole}.{cents:02d}"


def test_amounts_are_numbers_where_the_options_say_so(table):
    content = 'price,share,y\n"1,234.50 €",45 %,0\n5 €,,1\n0 €,5%,0\n'
    with pytest.raises(BadInput, match=r"column (price|share)|different texts|few"):
        table(content.replace("5 €,,1", "7,5,1").replace("0 €", "8"))
    read = table(content, numeric=["price", "share"], missing_values={"price": [0]})
    assert (numbers(read, "price"), numbers(read, "share")) == ([1234.5, 5, None], [45, None, 5])
    recipe = Recipe.from_dict(json.loads(json.dumps(read.split(IID(), nodes=1).preparation.recipe.to_dict())))
    assert recipe.reading.amounts == ("price", "share")
    x = recipe.transform({"price": ["1,234.50 €", "5"], "share": ["5 %", "45"][:1] * 2})
    assert x[0, 0] == pytest.approx(1)


def test_amounts_with_a_decimal_comma(table):
    read = table("p;y\n1.234,50 €;0\n1,234 €;1\n2.000;1\n", decimal=",", numeric=["p"])
    assert numbers(read, "p") == [1234.5, 1.234, 2000]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("$5", "6 €"), r"column p holds amounts in two units: .* is in \$, .* in €; write all in one"),
        (("5 kg", "6 g"), r"two units"),
        (("45 %", "0.45"), r"'45 %' in line 2 of t\.csv is in %, '0\.45' in line 3 of t\.csv has none"),
        (("5 €", "many"), r"column p: 'many' in line 3 of t\.csv is not a number"),
    ],
)
def test_amounts_that_do_not_go_together(table, cells, message):
    with pytest.raises(BadInput, match=message):
        table(f"p,y\n{cells[0]},0\n{cells[1]},1\n", numeric=["p"])
    assert re.search("two units", message) is None or numbers(table("p,y\n$5,0\n6,1\n", numeric=["p"]), "p") == [5, 6]


# -- identifiers -------------------------------------------------------------------------------------------------------

LARGE = 2**53


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.uint64(), pa.decimal128(38, 0), pa.decimal128(38, 18), pa.string()], ids=str
)
def test_large_identifiers_are_told_apart(table, kind):
    ids = [LARGE + 1, LARGE + 2, LARGE + 3, 10**18]
    column = pa.array([str(i) for i in ids] if kind == pa.string() else [Decimal(i) for i in ids]).cast(kind)
    columns = {"who": column, "a": [1, 2, 3, 4], "y": [0, 1, 0, 1]}
    assert table(columns, node="who").split().node_names == tuple(map(str, ids))
    assert len(table(columns, id="who")) == 4


def test_identifiers_stay_text_that_begin_with_zeros(table):
    assert len(table("who,a,y\n007,1,0\n7,2,1\n", id="who")) == 2
    assert table("who,a,y\n007,1,0\n7,2,1\n", node="who").split().node_names == ("007", "7")


def test_integers_of_a_column_of_floats_are_written_whole(table):
    columns = {"who": [1e6, 1.5e15, 7.0], "a": [1, 2, 3], "y": [0, 1, 0]}
    assert table(columns, node="who").split().node_names == ("7", "1000000", "1500000000000000")


def test_a_column_in_which_one_file_has_nothing_keeps_its_type(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"a": [LARGE + 1, 1], "b": [1, 2], "y": [0, 1]}), "t0.parquet")
    pq.write_table(pa.table({"a": pa.nulls(2), "b": [1, 2], "y": [0, 1]}), "t1.parquet")
    read = load("parquet", path="t*.parquet", target="y", test=None)
    assert numbers(read, "a") == [float(LARGE), 1, None, None]
