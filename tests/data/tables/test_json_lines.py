"""JSON lines: what is no row is refused with its line."""

import pytest

from foedus.core.errors import BadInput
from foedus.data.tables.files import Reading
from foedus.data.tables.json_lines import read_json_lines


def read(path, text, keep=lambda name: True):
    file = path / "t.jsonl"
    file.write_text(text)
    return read_json_lines(file, Reading(), keep)


def column(opened, name):
    cells = opened.cells[name]
    return [cells[i] for i in range(len(cells))]


def test_keys_are_columns_in_the_order_of_their_first_line(tmp_path):
    found = read(tmp_path, '{"a": 1, "b": "x"}\n\n{"c": true, "b": null}\n{"a": 2.5, "b": " NA "}\n')
    assert found.names == ["a", "b", "c"]
    assert column(found, "a") == ["1", None, "2.5"]
    assert column(found, "b") == ["x", None, None]
    assert column(found, "c") == [None, "true", None]
    assert found.place(1).startswith("line 3 of ")


def test_numbers_keep_all_their_digits(tmp_path):
    found = read(tmp_path, '{"a": 9007199254740993}\n{"a": 0.1}\n{"a": "007"}\n')
    assert column(found, "a") == ["9007199254740993", "0.1", "007"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"t\.jsonl is empty"),
        ("\n \n", r"t\.jsonl is empty"),
        ('{"a": 1}\n{"a": 1', r"line 2 of .* is not JSON: Expecting"),
        ('{"a": 1}\n[1, 2]\n', r"line 2 of .* is no object"),
        ('{\n "a": 1\n}\n', r"line 1 of .* is not JSON: .*one JSON document of many lines\? Then convert it"),
        ('{"a": [1], "b": 2}\n', r"column a: line 1 of .* holds a list, neither a number nor text: drop=\('a',\)"),
        ('{"b": 1}\n{"a": {}, "b": 2}\n', r"column a: line 2 of .* holds an object"),
        ('{"": 1}\n', r"column 1 of .* has no name"),
        ('{"a": "x\\u0000y"}\n', r"line 1 of .* NUL or half a character"),
        ('{"a": "\\ud800"}\n', r"line 1 of .* NUL or half a character"),
        ('{"a": ' + "[" * 100_000 + "}\n", r"line 1 of .* is not JSON"),
        ('{"a": ' + "1" * 5000 + "}\n", r"line 1 of .* is not JSON: Exceeds the limit"),
    ],
)
def test_what_is_no_row(tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        read(tmp_path, text)


def test_a_column_that_is_dropped_may_hold_anything(tmp_path):
    assert list(read(tmp_path, '{"a": [1], "b": 2}\n', lambda name: name != "a").cells) == ["b"]
