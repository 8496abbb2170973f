"""How a file is read is found out from its bytes, and said."""

import pytest

from foedus.core.errors import BadInput
from foedus.data.tables.overview.reading import opened

ROWS = [("Köln", "1{}5", "a"), ("Évry", "-0{}25", "b"), ("Łódź", "1{}75", "a")]


def text(delimiter, decimal, rows=ROWS):
    return "\n".join(delimiter.join(r).format(decimal) for r in [("ort", "wert", "k"), *rows]) + "\n"


@pytest.mark.parametrize(
    ("content", "found"),
    {
        "as all files are": (text(",", ".").encode(), {}),
        "a mark of UTF-8": (text(",", ".").encode("utf-8-sig"), {}),
        "semicolons": (text(";", ".").encode(), {"delimiter": ";"}),
        "decimal commas": (text(";", ",").encode(), {"delimiter": ";", "decimal": ","}),
        "tabs in UTF-16": (text("\t", ".").encode("utf-16"), {"encoding": "utf-16"}),
        "Windows": (
            text(";", ",", ROWS[:2]).encode("cp1252"),
            {"delimiter": ";", "decimal": ",", "encoding": "cp1252"},
        ),
        "commas between thousands": (b"a;b;c\n1,234;x;1.5\n2,345;y;2.5\n", {"delimiter": ";"}),
    }.values(),
)
def test_what_is_found_out_reads_the_file(tmp_path, content, found):
    (tmp_path / "t.csv").write_bytes(content)
    source, sheet, proposals = opened(tmp_path / "t.csv", {})
    assert (source, {p.option: p.value for p in proposals}) == ("csv", found)
    assert len(sheet.cells) == 3
    if b"K" in content or b"\0" in content:
        assert sheet.cells["ort"][0] == "Köln"
        assert sheet.cells["wert"].numbers()[:2].tolist() == [1.5, -0.25]


def test_what_is_said_is_not_found_out(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n1,5;x\n2,5;y\n")
    _, sheet, proposals = opened(tmp_path / "t.csv", {"decimal": ".", "delimiter": ";"})
    assert proposals == []
    assert sheet.cells["a"].numbers() is None


def test_what_cannot_be_read_says_why(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\0\1\2" * 100)
    with pytest.raises(BadInput, match="binary"):
        opened(tmp_path / "t.csv", {})
