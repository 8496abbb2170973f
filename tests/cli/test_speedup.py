"""``foedus speedup`` as a user calls it. Processes stand in line in one here, but for the slow tests."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import foedus as fd
from foedus.core.errors import Interrupted, NodeFailed

SMALL = """\
[data]
source = "breast-cancer"
split = "iid"
nodes = 4
[model]
network = "logistic"
[program.sync_sgd]
rounds = 6
lr = 0.1
"""
EXAMPLE = Path(__file__).parents[2] / "examples" / "speedup.toml"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def inline(monkeypatch):
    """In the place of processes; set ``fails`` to a function that is told how many were made."""
    made = []

    def make(**options):
        made.append(options)
        if make.fails is not None:
            make.fails(len(made))
        return fd.Local()

    make.fails, make.made = None, made
    monkeypatch.setattr("foedus.speedup.measure.processes", make)
    monkeypatch.setattr("foedus.speedup.measurement.pingpong", lambda wire, s: (1e-5, 1e-9))
    return make


def test_everything_is_written_and_printed(foedus, file, inline, tmp_path):
    said = foedus("speedup", file, "--processes", "1,2", "--rounds", 2, "--nodes-max", 2, "--out", tmp_path / "o")
    assert said.status == 0
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == [
        "speedup.csv", "speedup.html", "speedup.json", "speedup.png"
    ]  # fmt: skip
    found = json.loads((tmp_path / "o" / "speedup.json").read_text())
    assert found["complete"]
    assert found["verdict"] in " ".join(said.out.split())
    rows = list(csv.DictReader((tmp_path / "o" / "speedup.csv").open()))
    assert [(r["scaling"], r["p"]) for r in rows] == [("strong", "1"), ("strong", "2"), ("weak", "1"), ("weak", "2")]
    assert float(rows[1]["speedup"]) == found["curves"][0]["strong"][1]["speedup"]
    assert "turn 3/3" in said.err
    assert str(tmp_path / "o" / "speedup.html") in said.out
    # What is there is not written over.
    again = foedus("speedup", file, "--out", tmp_path / "o")
    assert (again.status, again.out) == (2, "")
    assert "already holds a measurement" in again.err


def test_json_alone_on_standard_output_and_nothing_on_the_other(foedus, file, inline, tmp_path):
    said = foedus("speedup", file, "--processes", 2, "--rounds", 1, "--nodes-max", 0, "--json", "--quiet")
    assert (said.status, said.err) == (0, "")
    found = json.loads(said.out)
    assert found["processes"] == [1, 2]
    assert found["simulated"] == []
    assert (tmp_path / found["out"] / "speedup.json").exists()
    assert found["out"] == "runs/small-speedup"


def test_set_and_several_exchanges(foedus, file, inline):
    said = foedus(
        "speedup", file, "--processes", 2, "--rounds", 1, "--nodes-max", 0, "--json", "--exchange", "server,ring,gloo",
        "--wire", "shared,sockets", "--set", "program.sync_sgd.batch_size=100",
    )  # fmt: skip
    found = json.loads(said.out)
    assert [(c["exchange"], c["wire"]) for c in found["curves"]] == [
        ("server", "shared"), ("server", "sockets"), ("ring", "shared"), ("ring", "sockets"), ("gloo", "sockets"),
    ]  # fmt: skip
    assert "batch_size=100" in found["program"]
    asked = {(m["exchange"], m["wire"]) for m in inline.made}
    assert {("ring", "sockets"), ("tree", "shared"), ("gloo", "sockets")} <= asked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--processes", "0,1"], "from 1 up"),
        (["--processes", "two"], "whole numbers"),
        (["--processes", "5000"], "cannot share"),
        (["--exchange", "rnig"], "did you mean 'ring'"),
        (["--wire", "tcp"], "unknown wire"),
        (["--exchange", "gloo"], "gloo sends over sockets"),
        (["--rounds", "0"], "rounds"),
        (["--exchange", "tree,ring", "--set", "program.sync_sgd.aggregate=median"], "only adds"),
        (["--set", "program.sync_sgd.lr=-1"], "lr"),
        (["--set", "program={ gossip = { rounds = 2 } }"], "Gossip"),
    ],
)
def test_bad_input_is_status_2_and_nothing_is_run(foedus, file, inline, tmp_path, arguments, said):
    told = foedus("speedup", file, *arguments)
    assert told.status == 2
    assert said in told.err
    assert told.out == ""
    assert inline.made == []
    assert not (tmp_path / "runs").exists()


def test_no_such_file(foedus, tmp_path):
    told = foedus("speedup", tmp_path / "none.toml")
    assert told.status == 2
    assert "there is no such file" in told.err


def test_ctrl_c_leaves_what_was_measured(foedus, file, inline, tmp_path):
    def fails(made):
        if made == 5:
            raise Interrupted("stopped")

    inline.fails = fails
    told = foedus("speedup", file, "--processes", "1,2", "--rounds", 2, "--out", tmp_path / "o")
    assert told.status == 130
    assert "has what was measured by then" in told.err
    found = json.loads((tmp_path / "o" / "speedup.json").read_text())
    assert not found["complete"]
    assert [p["p"] for p in found["curves"][0]["strong"]] == [1, 2]


def test_ctrl_c_before_anything_was_measured(foedus, file, inline, tmp_path):
    def fails(made):
        raise Interrupted("stopped")

    inline.fails = fails
    told = foedus("speedup", file, "--out", tmp_path / "o")
    assert told.status == 130
    assert not (tmp_path / "o").exists()


def test_a_node_that_fails_is_named_and_what_was_measured_is_kept(foedus, file, inline, tmp_path):
    def fails(made):
        if made == 4:
            raise NodeFailed("node 1 was killed by SIGKILL")

    inline.fails = fails
    told = foedus("speedup", file, "--processes", "1,2", "--rounds", 2, "--out", tmp_path / "o")
    assert told.status == 1
    assert "SIGKILL" in told.err
    assert (tmp_path / "o" / "speedup.html").exists()


@pytest.mark.slow
def test_real_processes_stopped_by_a_real_ctrl_c(tmp_path):
    done = subprocess.Popen(
        [sys.executable, "-m", "foedus", "speedup", str(EXAMPLE), "--processes", "1,2", "--out", str(tmp_path / "o")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(fd.__file__).parents[1])},
    )
    try:
        for line in done.stderr:
            if line.startswith("turn 1/3, 2 processes"):
                break
        time.sleep(1)
        done.send_signal(signal.SIGINT)
        out, err = done.communicate(timeout=60)
    finally:
        done.kill()
    assert done.returncode == 130, err
    assert "stopped" in err
    assert "Traceback" not in err
    assert json.loads((tmp_path / "o" / "speedup.json").read_text())["curves"]
    assert "2 processes" in out


@pytest.mark.slow
def test_the_example_with_real_processes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "foedus", "speedup", str(EXAMPLE), "--out", str(tmp_path / "o"), "--json"],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(fd.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for t in found["traffic"]:
        if t["formula_vectors"] is not None:
            assert t["messages"] == t["formula_messages"], t
            assert t["vectors"] == pytest.approx(t["formula_vectors"], rel=1e-3), t
    sleeping = {s["program"]: s for s in found["stragglers"] if s["sleeping"]}
    assert sleeping["synchronous"]["lost"] == pytest.approx(0.75, abs=0.1)
    assert sleeping["asynchronous"]["lost"] == pytest.approx(0.1875, abs=0.1)
    assert {s["nodes"][-1] for s in found["simulated"]} == {1024}
