"""The command line called as a user calls it, in this process: it has imported torch already."""

import signal
import sys
from dataclasses import dataclass

import matplotlib
import pytest

from foedus.cli import main

matplotlib.use("Agg")

SMALL = """\
seed = 0
[data]
source = "breast-cancer"
split = "iid"
nodes = 4
[model]
network = "logistic"
[program.fedavg]
rounds = 6
local = { epochs = 1, batch_size = 16, lr = 0.05 }
transforms = [{ error_feedback = { inner = { top_k = 0.5 } } }]
"""


@dataclass
class Said:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def foedus(monkeypatch, capsys, tmp_path):
    """Call a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["foedus", *map(str, args)])
        capsys.readouterr()
        status, heard = 0, signal.getsignal(signal.SIGINT)
        try:
            main()
        except SystemExit as e:
            status = e.code or 0
        finally:
            signal.signal(signal.SIGINT, heard)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(status, said.out, said.err)

    return call


@pytest.fixture
def small(tmp_path):
    """A file of a small experiment."""
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    return file
