"""What ``csv`` and ``parquet`` take is what their options say, and is seen by whoever looks at their signatures."""

import dataclasses
import inspect

import pytest

import foedus as fd
from foedus.data.tables import csv, parquet
from foedus.data.tables.options import CsvOptions, TableOptions
from foedus.plain.kinds import parameters


@pytest.mark.parametrize(("source", "options"), [(csv, CsvOptions), (parquet, TableOptions)])
def test_a_source_takes_what_its_options_say(source, options) -> None:
    path, *rest = inspect.signature(source).parameters
    assert path == "path"
    assert rest == [f.name for f in dataclasses.fields(options)]
    by_position = [n for n, p in inspect.signature(source).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert by_position == ["path", "target", "node"]
    assert {n: p.hint for n, p in parameters(source).items() if n != "path"} == {
        n: p.hint for n, p in parameters(options).items()
    }


def test_parquet_has_no_options_of_text() -> None:
    with pytest.raises(fd.BadInput, match="data set 'parquet' has no option 'delimiter'"):
        fd.data.load("parquet", path="x", target="y", delimiter=";")
    with pytest.raises(fd.BadInput, match="no option 'delimeter': did you mean 'delimiter'"):
        fd.data.load("csv", path="x", target="y", delimeter=";")


def test_by_position_and_by_name_are_the_same(tmp_path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("age;who;sick\n" + "".join(f"{i};{'ab'[i % 2]};{'yes' if i % 3 else 'no'}\n" for i in range(20)))
    one, two = csv(file, "sick", "who", test=None), fd.data.load("csv", path=file, target="sick", node="who", test=None)
    assert one.schema == two.schema
    assert one.options == two.options
    assert one.node.tolist() == two.node.tolist()
