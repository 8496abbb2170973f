"""Excel: which sheet, what cells hold, and what must not be taken for missing."""

import datetime
import io
import zipfile

import pytest

from foedus.core.errors import BadInput
from foedus.data import load
from foedus.data.tables.excel import read_excel
from foedus.data.tables.files import Reading

openpyxl = pytest.importorskip("openpyxl")


def book(path, **sheets):
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for number, row in enumerate(rows, 1):
            for i, value in enumerate(row, 1):
                sheet.cell(number, i, value)
    file = path / "t.xlsx"
    made.save(file)
    return file


def read(file, sheet=None):
    return read_excel(file, Reading(sheet=sheet), lambda name: True)


def cells(found):
    return {n: [c[i] for i in range(len(c))] for n, c in found.cells.items()}


TABLE = [["a", "b"], [1, "x"], [2.5, None]]


def test_cells_as_text_rows_by_their_number_and_blank_rows_passed_over(tmp_path):
    when = datetime.datetime(2020, 2, 3)
    rows = [[], ["a", " b ", "c"], [1, "x", True], [], [None, when, False], [3, datetime.time(4, 5), None]]
    found = read(book(tmp_path, only=rows))
    assert found.names == ["a", "b", "c"]
    assert cells(found) == {"a": ["1", None, "3"], "b": ["x", "2020-02-03", "04:05:00"], "c": ["true", "false", None]}
    assert [found.place(i).partition(" of ")[0] for i in range(3)] == ["row 3", "row 5", "row 6"]


def test_the_only_sheet_that_holds_anything_or_the_one_that_is_named(tmp_path):
    assert read(book(tmp_path, empty=[], data=TABLE)).names == ["a", "b"]
    file = book(tmp_path, notes=[["read me"], ["first"]], data=TABLE)
    with pytest.raises(BadInput, match="several sheets, 'notes', 'data': say which, such as sheet='notes'"):
        read(file)
    assert read(file, "data").names == read(file, 1).names == ["a", "b"]


def test_the_size_that_a_file_announces_cuts_nothing_off(tmp_path):
    file = book(tmp_path, data=TABLE)
    with zipfile.ZipFile(file) as archive:
        entries = {n: archive.read(n) for n in archive.namelist()}
    sheet = entries["xl/worksheets/sheet1.xml"]
    assert b'ref="A1:B3"' in sheet
    entries["xl/worksheets/sheet1.xml"] = sheet.replace(b'ref="A1:B3"', b'ref="A1"')
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    assert cells(read(file)) == {"a": ["1", "2.5"], "b": ["x", None]}


@pytest.mark.parametrize(
    ("rows", "sheet", "message"),
    [
        ([], None, r"t\.xlsx is empty"),
        ([["a", "b"]], None, "has names of columns but no rows"),
        ([["a", None, "c"], [1, 2, 3]], None, "column 2 of .* has no name"),
        ([["a", "a"], [1, 2]], None, "more than one column named 'a'"),
        ([["a", "b"], [1, 2, "note"]], None, r"row 2 of sheet 'data' .* value 'note' in column 3, which has no name"),
        (TABLE, "dta", "no sheet 'dta': did you mean 'data'"),
        (TABLE, 3, "has 1 sheets, counted from 0; got 3"),
        ([["a", "b"], [1, "=A2+1"]], None, r"column b: row 2 of sheet 'data' .* has the formula '=A2\+1' and not its"),
    ],
)
def test_what_is_refused(tmp_path, rows, sheet, message):
    with pytest.raises(BadInput, match=message):
        read(book(tmp_path, data=rows), sheet)


def test_a_zip_that_is_no_workbook_and_a_damaged_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.xlsx", "w") as archive:
        archive.writestr("t.csv", "a,b\n1,2\n")
    with pytest.raises(BadInput, match="is a zip archive, not an Excel workbook: unpack it"):
        read(tmp_path / "z.xlsx")
    file = book(tmp_path, data=TABLE)
    with zipfile.ZipFile(file) as archive:
        entries = {n: archive.read(n) for n in archive.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data[:-20] if "sheet1" in name else data)
    file.write_bytes(out.getvalue())
    with pytest.raises(BadInput, match="cannot be read as an Excel workbook: ParseError"):
        read(file)


def test_what_unpacks_to_far_more_than_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("foedus.data.memory.PACKED_BYTES", 1000)
    monkeypatch.setattr("foedus.data.memory.PACKED_TIMES", 2)
    with pytest.raises(BadInput, match=r"unpacks to .* or more"):
        read(book(tmp_path, data=[["a"], *[[1]] * 5000]))


def test_sheet_is_an_option(tmp_path):
    rows = [["x", "y"], *[[i, i % 2] for i in range(20)]]
    file = book(tmp_path, notes=[["a"], [1]], data=rows)
    assert len(load("excel", path=file, target="y", sheet="data", test=None)) == 20
    with pytest.raises(BadInput, match="sheet must be the name of a sheet"):
        load("excel", path=file, target="y", sheet=1.5)


def test_a_title_above_the_names_is_told_from_a_column_without_one(tmp_path):
    rows = [["Extract of March"], [], ["a", "b", "c"], [1, 2, 3]]
    with pytest.raises(BadInput, match=r"'b' in column 2, which has no name in row 1.*or, if row 1 is a title, remove"):
        read(book(tmp_path, data=rows))
    with pytest.raises(BadInput, match=r"give it one, or clear it$"):
        read(book(tmp_path, data=[["a", "b"], [1, 2, 3]]))
