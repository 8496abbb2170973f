"""ARFF: quotes, comments and declared values; what is refused says its line."""

import pytest

from foedus.core.errors import BadInput
from foedus.data import load
from foedus.data.tables.arff import read_arff
from foedus.data.tables.files import Reading

HEADER = "@RELATION r\n@Attribute a numeric\n@attribute 'my b' {x, 'y z', \"it's\"}\n@attribute c string\n@data\n"


def read(path, text, **reading):
    file = path / "t.arff"
    file.write_text(text, encoding=reading.get("encoding", "utf-8"))
    return read_arff(file, Reading(**reading), lambda name: True)


def test_quotes_escapes_comments_and_spaces(tmp_path):
    rows = '1, x , \'a, b\'\n% no row\n\n?,\'y z\',?\n-2e3,"it\'s","say \\"hi\\""\n4,x,plain text\n5,x,\n'
    found = read(tmp_path, HEADER + rows)
    cells = {n: [c[i] for i in range(len(c))] for n, c in found.cells.items()}
    assert found.names == ["a", "my b", "c"]
    assert cells["a"] == ["1", None, "-2e3", "4", "5"]
    assert cells["my b"] == ["x", "y z", "it's", "x", "x"]
    assert cells["c"] == ["a, b", None, 'say "hi"', "plain text", None]
    assert found.place(2).startswith("line 10 of ")


def test_another_encoding(tmp_path):
    (tmp_path / "l.arff").write_bytes((HEADER + "1,x,caf\u00e9\n").encode("latin-1"))
    with pytest.raises(BadInput, match=r"is not UTF-8: .*encoding='latin-1'"):
        load("arff", path=tmp_path / "l.arff", target="my b")
    assert read(tmp_path, HEADER + "1,x,caf\u00e9\n", encoding="latin-1").cells["c"][0] == "caf\u00e9"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line @data"),
        ("a,b\n1,2\n", r"line 1 of .* is no ARFF: expected @relation, @attribute or @data, got 'a,b'"),
        ("@relation r\n@data\n1\n", "no @attribute before its @data"),
        ("@attribute a\n@data\n", r"line 1 of .* is no attribute"),
        ("@attribute a relational\n@data\n", r"line 1 of .*: attribute a is of type 'relational'"),
        ("@attribute a {x, y\n@data\n", r"line 1 of .* have no } at their end"),
        ("@attribute a numeric\n@attribute a numeric\n@data\n1,2\n", "more than one column named 'a'"),
        (HEADER, "has names of columns but no rows"),
        (HEADER + "1,x\n", r"line 6 of .* has 2 values, the header 3 attributes"),
        (HEADER + "1,w,c\n", r"column my b: 'w' in line 6 of .* is none of the values that its header declares"),
        (HEADER + "1,x,'c\n", r"line 6 of .* a quote is never closed"),
        (HEADER + "1,x,'c' d\n", r"line 6 of .* a quote is never closed, or text follows one"),
        (HEADER + "{0 1, 1 x}\n", r"line 6 of .* is sparse .* SparseToNonSparse"),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        read(tmp_path, text)
