"""Advice about a table as the words of ``foedus init`` and ``foedus data``, which take them."""

import shlex

import pytest

from foedus.cli.entry import main
from foedus.cli.table_options import advising, known
from foedus.core.advice import Option
from foedus.core.errors import BadInput


def said(*options):
    with pytest.raises(BadInput) as e, advising():
        raise BadInput(*options)
    return shlex.split(str(e.value))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (Option("drop", ["a b", "it's"], adds=True), ["--drop", "a b", "--drop", "it's"]),
        (Option("missing_values", {"chol": ["0", "-9"]}, adds=True), ["--missing", "chol=0", "--missing", "chol=-9"]),
        (Option("positive", ["sick", "dead"]), ["--positive", "sick,dead"]),
        (Option("task", "regression"), ["--task", "regression"]),
        (Option("sheet", "of 2020"), ["--set", 'data.sheet="of 2020"']),
        (Option("wire", "sockets", "runtime.processes"), ["--set", 'runtime.processes.wire="sockets"']),
    ],
)
def test_words(option, words):
    assert said(option) == words


def test_what_is_advised_is_taken():
    words = said(Option("missing_values", {"a=b": ["0"]}, adds=True))
    assert known(missing=words[1:]) == {"missing_values": {"a=b": ["0"]}}


def test_the_sheet_of_a_workbook(tmp_path, monkeypatch, capsys):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for name in ("a", "b"):
        sheet = book.create_sheet(name)
        for row in (["x", "y"], *([i * 0.5, i % 2] for i in range(40))):
            sheet.append(row)
    book.save(tmp_path / "t.xlsx")
    monkeypatch.chdir(tmp_path)

    def init(*words):
        monkeypatch.setattr("sys.argv", ["foedus", "init", "t.xlsx", *words])
        try:
            main()
        except SystemExit as e:
            return e.code or 0, capsys.readouterr().err
        return 0, ""

    status, error = init()
    assert status == 2
    status, error = init(*shlex.split(error[error.index("--set") :]))
    assert (status, error) == (0, "")
    assert 'sheet = "a"' in (tmp_path / "t.toml").read_text()
