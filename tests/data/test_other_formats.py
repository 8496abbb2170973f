"""Formats that no source reads: each is named, and what is said to convert it does."""

import json
import shlex
import sqlite3
import subprocess
import sys
import tarfile
import zipfile

import pytest

from foedus.core.errors import BadInput
from foedus.data import load
from foedus.data.other_formats import OTHERS, other_format, refusal
from foedus.data.recognised import source_of
from foedus.data.tables import look
from foedus.data.tables.formats import SUFFIXES

CSV = "a,b\n1,x\n2,y\n"
ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def write(path):
    match path.suffix:
        case ".json":
            path.write_text(json.dumps(ROWS, indent=1))
        case ".dta":
            pytest.importorskip("pandas").DataFrame(ROWS).to_stata(path, write_index=False)
        case ".mat":
            pytest.importorskip("scipy.io").savemat(path, {"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0, 1]})
        case ".db":
            db = sqlite3.connect(path)
            db.execute("CREATE TABLE patients (a INTEGER, b TEXT)")
            db.executemany("INSERT INTO patients VALUES (:a, :b)", ROWS)
            db.commit()
        case ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("t.csv", CSV)
        case ".gz":
            (path.parent / "t.csv").write_text(CSV)
            with tarfile.open(path, "w:gz") as archive:
                archive.add(path.parent / "t.csv", "t.csv")
    return path


@pytest.mark.parametrize("name", ["p q's.json", "p.dta", "p.mat", "p.db", "p.zip", "p.tar.gz"])
def test_the_command_makes_what_a_source_reads(tmp_path, name, monkeypatch):
    path = write(tmp_path / name)
    said = refusal(path)
    command = said[said.index("python -") :].split(", and name the folder")[0]
    words = shlex.split(command)
    if words[1] == "-c":
        monkeypatch.setattr(sys, "argv", ["-c", *words[3:]])
        exec(words[2], {})
    else:
        subprocess.run([sys.executable, *words[1:]], check=True, capture_output=True)
    made = tmp_path / words[-1]
    assert made != path
    assert source_of(made) == ("npz" if name.endswith(".mat") else "csv")
    if not name.endswith(".mat"):
        assert [c.name for c in look(str(made)).columns] == ["a", "b"]


def test_all_say_what_to_do_and_none_is_read(tmp_path):
    endings = [s for other in OTHERS for s in other.suffixes]
    assert len(endings) == len(set(endings))
    assert not set(endings) & set(SUFFIXES)
    for other in OTHERS:
        assert sum(map(bool, (other.code, other.command, other.words))) == 1, other.name
        assert "'" not in other.code, other.name  # it stands in quotes of a shell
        compile(other.code, other.name, "exec")
        said = refusal(tmp_path / f"f{other.suffixes[0]}")
        assert said.startswith(f"{tmp_path / 'f'}{other.suffixes[0]} is {other.name}, which no source reads: ")


def test_pickles_are_never_opened(tmp_path):
    assert "never opened here" in refusal(tmp_path / "x.pkl")
    (tmp_path / "x.csv").write_bytes(b"\x80\x04\x95\x00\x00")
    assert "never opened here" in refusal(tmp_path / "x.csv")


def test_by_its_beginning_where_its_name_says_nothing(tmp_path):
    (tmp_path / "x").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(20))
    assert other_format(tmp_path / "x").name == "an HDF5 file"
    with pytest.raises(BadInput, match=r"is an HDF5 file, which no source reads: this makes .*x\.npz of it"):
        load("csv", path=tmp_path / "x", target="y")


def test_a_table_that_is_only_called_excel(tmp_path):
    (tmp_path / "x.xls").write_text(CSV)
    assert refusal(tmp_path / "x.xls").endswith(f"if it is a table, name it {tmp_path / 'x.csv'}")


def test_json_that_is_given_as_csv(tmp_path):
    path = write(tmp_path / "x.json")
    with pytest.raises(BadInput, match="is a JSON document, not JSON lines"):
        load("csv", path=path, target="b")


def test_a_folder_without_any(tmp_path):
    assert "holds no data that a source can read: a table (.csv, .xlsx" in refusal(tmp_path)
