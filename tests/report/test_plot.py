"""The plot."""

import os
import subprocess
import sys

import pytest

from foedus.core.errors import BadInput
from foedus.report import plot

from .fakes import Centralized, FedAvg, SyncSGD, fake, learn, record, seeds

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def run():
    return fake(FedAvg(), learn(10, 0.1, 0.9, 3, up=100, down=100))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_the_suffix_decides(tmp_path, suffix):
    file = plot(run(), tmp_path / "deep" / f"run{suffix}")
    assert file.read_bytes().startswith(MAGIC[suffix.lower()])
    assert [f.name for f in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("name", ["run.bmp", "run", "run.jpg"])
def test_another_suffix_is_refused(tmp_path, name):
    with pytest.raises(BadInput, match=r"ends in \.png, \.svg, \.pdf"):
        plot(run(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_bytes_where_there_are_any_and_epochs_where_not(tmp_path):
    sent = plot([run(), fake(Centralized(), learn(10, 0.1, 0.9, 3))], tmp_path / "a.svg").read_text()
    silent = plot(fake(Centralized(), learn(10, 0.1, 0.9, 3)), tmp_path / "b.svg").read_text()
    assert "bytes up and down" in sent
    assert "local epochs" not in sent
    assert "local epochs" in silent
    assert "bytes up and down" not in silent


@pytest.mark.parametrize(
    "history", [[], [record(1, None)], [record(0, 0.5)], [record(1, 0.5, bytes_up=9)], [record(1, float("nan"))]]
)
def test_little_history_still_makes_a_plot(tmp_path, history):
    for program in (FedAvg(), Centralized()):
        assert plot(fake(program, history), tmp_path / "run.png").stat().st_size > 5000


def test_labels_are_text_not_mathematics(tmp_path):
    runs = {"_hidden $x^2": run(), "a $b$ <c>": fake(SyncSGD(), learn(5, 0.1, 0.9, 3, up=1))}
    drawn = plot(runs, tmp_path / "run.svg").read_text()
    assert "hidden $x^2" in drawn
    assert "a $b$" in drawn


def test_no_global_state():
    # In a process of its own: this one may have imported pyplot for another test.
    code = "import sys, foedus.report.pictures; sys.exit('matplotlib.pyplot' in sys.modules)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=env).returncode == 0


def test_groups_get_bands_and_many_settings_grey_lines(tmp_path):
    one = plot({"a": seeds(FedAvg(), 0.9)}, tmp_path / "a.svg").read_text()
    group = plot({"a": seeds(FedAvg(), 0.9, 0.8)}, tmp_path / "b.svg").read_text()
    assert "FillBetweenPolyCollection" in group or "PolyCollection" in group
    assert "PolyCollection" not in one
    assert "bands from the lowest to the highest" in group
    many = {f"lr={i}": seeds(FedAvg(), 0.5 + i / 50) for i in range(12)}
    drawn = plot(many, tmp_path / "c.svg").read_text()
    assert "lr=11" in drawn
    assert "lr=2<" not in drawn
    assert drawn.count("stroke: #d3d7dd") == 14  # seven of twelve, in two panels
