"""A folder from elsewhere names code: it runs only if whoever goes on with it says so."""

import os
import shutil
import sys

import pytest

MODULE = """
from pathlib import Path
from torch import nn

Path(__file__).with_name("ran").touch()


def net(inputs: int, classes: int) -> nn.Linear:
    module = nn.Linear(inputs, classes)
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)
    return module
"""

FILE = """\
[data]
source = "breast-cancer"
split = "iid"
nodes = 2
[model]
network = "brought_along:net"
[program.fedavg]
rounds = 2
[stop]
after_commits = 1
"""


@pytest.fixture
def with_code(tmp_path, monkeypatch):
    """An experiment with code of its own, whose import leaves a file ``ran``."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "brought_along.py").write_text(MODULE)
    (tmp_path / "a.toml").write_text(FILE)
    yield tmp_path / "a.toml"
    sys.modules.pop("brought_along", None)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """From now on this is another user's machine."""

    def moved():
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
        sys.modules.pop("brought_along", None)
        (tmp_path / "ran").unlink()

    return moved


def refused(said, tmp_path):
    assert said.status == 2
    assert "brought_along:net is code that would run, and this folder was not made here" in said.err
    assert "--allow-code" in said.err
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "ran").exists()


def test_what_was_made_here_goes_on_unasked(foedus, with_code):
    assert foedus("run", with_code, "-o", "r", "-q").status == 0
    assert foedus("reproduce", "r", "-q").status == 0
    assert foedus("run", "--resume", "r", "-q", "--set", "stop.after_commits=2").status == 0
    assert foedus("run", "--resume", "r", "-q").status == 0  # of the changed configuration, too
    shutil.move("r", "s")
    assert foedus("reproduce", "s", "-q").status == 0


def test_a_run_from_elsewhere_asks(foedus, with_code, elsewhere, tmp_path):
    assert foedus("run", with_code, "-o", "r", "-q").status == 0
    elsewhere()
    refused(foedus("run", "--resume", "r", "-q", "--set", "stop.after_commits=2"), tmp_path)
    refused(foedus("reproduce", "r", "-q"), tmp_path)
    assert foedus("show", "r").status == 0
    assert foedus("reproduce", "r", "-q", "--allow-code").status == 0
    refused_again = foedus("reproduce", "r", "-q")
    assert refused_again.status == 2  # to look at it once is not to have made it
    assert foedus("run", "--resume", "r", "-q", "--allow-code").status == 0
    assert foedus("run", "--resume", "r", "-q").status == 0


def test_a_comparison_from_elsewhere_asks(foedus, with_code, elsewhere, tmp_path):
    assert foedus("compare", with_code, "-o", "c", "-q", "--set", "sweep.seed=[0,1]").status == 0
    shutil.rmtree(tmp_path / "c" / "2-seed-1")  # as if it had been stopped before
    assert foedus("compare", "--resume", "c", "-q").status == 0
    [first, *_] = sorted(p.name for p in (tmp_path / "c").iterdir() if p.is_dir())
    assert foedus("reproduce", tmp_path / "c" / first, "-q").status == 0  # one of its runs
    shutil.rmtree(tmp_path / "c" / "2-seed-1")
    elsewhere()
    refused(foedus("compare", "--resume", "c", "-q"), tmp_path)
    refused(foedus("run", "--resume", "c", "-q"), tmp_path)
    refused(foedus("reproduce", tmp_path / "c" / first, "-q"), tmp_path)
    assert foedus("compare", "--resume", "c", "-q", "--allow-code").status == 0


def test_a_folder_that_was_changed_asks(foedus, with_code, tmp_path):
    assert foedus("run", with_code, "-o", "r", "-q").status == 0
    (tmp_path / "ran").unlink()
    sys.modules.pop("brought_along")
    config = tmp_path / "r" / "config.toml"
    config.write_text(config.read_text() + "\n")
    refused(foedus("reproduce", "r", "-q"), tmp_path)


def test_rows_of_ones_own_are_code_too(foedus, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "brought_along.py").write_text(
        MODULE + "\nimport torch\nfrom torch.utils.data import TensorDataset\n"
        "rows = TensorDataset(torch.eye(8), torch.tensor([0, 1] * 4))\n"
    )
    (tmp_path / "a.toml").write_text(
        FILE.replace('"breast-cancer"', '"torch"\ndataset = "brought_along:rows"').replace(
            "brought_along:net", "logistic"
        )
    )
    assert foedus("run", "a.toml", "-o", "r", "-q").status == 0
    assert foedus("reproduce", "r", "-q").status == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    said = foedus("reproduce", "r", "-q")
    assert said.status == 2
    assert "brought_along:rows is code that would run" in said.err
    sys.modules.pop("brought_along", None)


def test_without_code_nothing_is_noted_and_nothing_asked(foedus, small, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert foedus("run", small, "-o", "r", "-q", "--set", "program.fedavg.rounds=1").status == 0
    assert not (tmp_path / "state").exists()
    assert foedus("reproduce", "r", "-q").status == 0


def test_a_job_without_a_home_is_not_asked(foedus, with_code, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert foedus("run", with_code, "-o", "r", "-q").status == 0
    assert foedus("reproduce", "r", "-q").status == 0
    noted = tmp_path / f"foedus-{os.getuid()}" / "made-here"
    assert noted.stat().st_mode & 0o777 == 0o600
    noted.parent.chmod(0o777)  # anybody could have written to it
    assert foedus("reproduce", "r", "-q").status == 2
