"""Places that cannot be read or written to: one line, with the name and what to do, before anything is computed."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def places(small):
    os.symlink("nowhere", "dangling")
    os.symlink("loop", "loop")
    Path("file").touch()
    Path("folder.x.toml").mkdir()
    Path("folder.csv").mkdir()
    Path("t.csv").write_text("a,b,y\n" + "".join(f"{i},{i * i},{i % 2}\n" for i in range(20)))


LONG = "n" * 300
TO = {
    "run": ["run", "small.toml", "--set", "program.fedavg.rounds=1"],
    "compare": ["compare", "small.toml", "--set", "sweep={seed=[0,1]}"],
    "init": ["init", "t.csv"],
    "data": ["data", "small.toml"],
}


@pytest.mark.parametrize("place", ["dangling", "loop", "file", "file/x", "/proc/x", LONG])
@pytest.mark.parametrize("command", TO)
def test_places_to_write_to(foedus, places, command, place):
    out = {"data": f"{place}/a.html", "init": place}.get(command, place)
    said = foedus(*TO[command], "-o", out)
    assert said.status == 2
    [line] = said.err.splitlines()
    assert place[:90] in line
    assert ":" in line.replace("foedus:", "")
    assert any(word in line for word in ("choose", "remove", "name another")), line  # what to do
    assert said.out == ""
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("place", ["dangling", "loop", "file/x", "folder.x.toml", "folder.csv", LONG, "gone"])
@pytest.mark.parametrize("command", ["run", "data", "init", "show", "report", "reproduce", "compare", "run --resume"])
def test_places_to_read_from(foedus, places, command, place):
    said = foedus(*command.split(), place)
    assert said.status == 2
    [line] = said.err.splitlines()
    assert place[:90] in line
    assert "did you mean" not in line or f"did you mean '{place}'" not in line


def test_a_file_that_the_system_does_not_name(foedus, small, monkeypatch):
    """Some calls of the system say what, and not where."""
    monkeypatch.setattr("foedus.experiment.expand", lambda *a: (_ for _ in ()).throw(IsADirectoryError(21, "Is a dir")))
    said = foedus("run", small)
    assert said.err == (
        "foedus: a file that was asked for: it is a folder, and a file is wanted: name another, or remove it\n"
    )
