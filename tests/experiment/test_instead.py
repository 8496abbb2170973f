"""A path given where another was meant: the command that takes it is named, and takes it."""

import pytest

from foedus.core.errors import BadInput
from foedus.data import load
from foedus.experiment import read
from foedus.experiment.instead import check_is, what_is

EXPERIMENT = (
    '[data]\nsource = "iris"\nsplit = "iid"\nnodes = 2\n[model]\nnetwork = "logistic"\n[program.fedavg]\nrounds = 1\n'
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "e.toml").write_text(EXPERIMENT)
    (tmp_path / "e.txt").write_text(EXPERIMENT)
    (tmp_path / "t.csv").write_text("a,y\n1,2\n3,4\n")
    (tmp_path / "t.sav").write_bytes(b"$FL2@(#)\0\0")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "run.json").write_text("{}")
    (tmp_path / "r" / "run.png").write_text("")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.json").write_text("{}")
    (tmp_path / "notes.md").write_text("# notes\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_a_path_is(here):
    names = ("e.toml", "e.txt", "t.csv", "t.sav", "r", "s", "notes.md", "nothing.sav")
    expected = ["experiment", "experiment", "data", "other", "run", "run", None, "other"]
    assert [what_is(here / name) for name in names] == expected


@pytest.mark.parametrize(
    ("wanted", "name", "message"),
    [
        ("data", "e.toml", "e.toml is an experiment: foedus run .*e.toml runs it"),
        ("run", "e.toml", "e.toml is an experiment: foedus run"),
        ("run", "t.csv", r"t.csv is data \(csv\): foedus init .*t.csv writes an experiment on it, foedus data"),
        ("data", "r", "r is the folder of a run: foedus show .*r shows it, foedus run --resume"),
        ("data", "t.sav", "t.sav is an SPSS file, which no source reads: this makes"),
    ],
)
def test_where_another_was_meant(here, wanted, name, message):
    with pytest.raises(BadInput, match=message):
        check_is(wanted, here / name)


@pytest.mark.parametrize(
    ("wanted", "name"), [("data", "t.csv"), ("run", "r"), ("run", "notes.md"), ("data", "none.sav")]
)
def test_where_nothing_else_is_known_it_is_left_to_the_reader(here, wanted, name):
    check_is(wanted, here / name)


@pytest.mark.parametrize("name", ["t.csv", "r", "t.sav"])
def test_an_experiment_that_is_none(here, name):
    with pytest.raises(BadInput, match=f"^{name}: this is (data|the folder|an SPSS)"):
        read(name)


def test_an_experiment_with_another_ending_is_one(here):
    assert read("e.txt").data().nodes == 2
    with pytest.raises(BadInput, match="no such file"):
        read("none.csv")


def test_tables_of_toml_are_no_tables(here):
    with pytest.raises(BadInput):
        load("csv", path="e.toml", target="y")
