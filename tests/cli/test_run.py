"""``foedus run``, ``compare``, ``reproduce``, ``show``, ``report`` and ``data``."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import foedus as fd
from foedus.core.records.lock import FolderLock

from .conftest import SMALL


def sha(folder):
    return json.loads((Path(folder) / "run.json").read_text())["sha256"]


def test_a_file_becomes_a_run_with_all_that_belongs_to_it(foedus, small, tmp_path):
    said = foedus("run", small)
    assert said.status == 0
    folder = tmp_path / "runs" / "small"
    assert sorted(p.name for p in folder.iterdir()) == [
        "best.safetensors", "checkpoint.safetensors", "config.toml", "history.jsonl", "ledger.jsonl",
        "model.safetensors", "previous.safetensors", "report.html", "run.json", "run.png",
    ]  # fmt: skip
    assert f"The page: {folder / 'report.html'}" in said.out
    assert "finished after 6 rounds" in said.out
    assert "round 6/6" in said.err
    # It is what the Python API makes of the same words.
    data = fd.data.load("breast-cancer").split(fd.data.IID(), nodes=4, seed=0)
    program = fd.FedAvg(
        6, local=fd.LocalSGD(batch_size=16, lr=0.05), transforms=(fd.ErrorFeedback(fd.TopK(fraction=0.5)),)
    )
    run = fd.train(program, fd.Model(fd.models.logistic(30, 2)), data)
    assert run.sha256 == sha(folder)
    # A second run does not touch the first.
    assert foedus("run", small, "--quiet").status == 0
    assert sha(tmp_path / "runs" / "small-2") == run.sha256


def test_sets_change_the_file(foedus, small):
    said = foedus("run", small, "--set", "program.fedavg.rounds=2", "--set", "seed=3", "-o", "x", "--json", "-q")
    assert said.status == 0
    assert said.err == ""
    told = json.loads(said.out)
    assert (told["rounds"], told["seed"], told["status"]) == (2, 3, "finished")
    assert told["costs"]["bytes_up"] > 0


def test_a_stopped_run_goes_on_to_the_same_bits_also_elsewhere(foedus, small, tmp_path, monkeypatch):
    assert foedus("run", small, "-o", "whole").status == 0
    assert foedus("run", small, "-o", "part", "--set", "stop.after_commits=2").status == 0
    assert len((tmp_path / "part" / "history.jsonl").read_text().splitlines()) == 2
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    small.unlink()  # the folder knows all that it needs
    said = foedus("run", "--resume", "../part", "--set", "stop.after_commits=100")
    assert said.status == 0
    assert sha(tmp_path / "part") == sha(tmp_path / "whole")
    # A run that has ended is not run again.
    before = (tmp_path / "part" / "history.jsonl").read_bytes()
    assert foedus("run", "--resume", "../part").status == 0
    assert (tmp_path / "part" / "history.jsonl").read_bytes() == before
    # It can be made longer.
    assert foedus("run", "--resume", "../part", "--set", "program.fedavg.rounds=8").status == 0
    assert len((tmp_path / "part" / "history.jsonl").read_text().splitlines()) == 8


def test_reproduce_says_whether_the_bits_are_the_same(foedus, small, tmp_path):
    assert foedus("run", small, "-o", "x").status == 0
    said = foedus("reproduce", "x", "-q")
    assert said.status == 0
    assert f"the same bits after 6 rounds: SHA-256 {sha('x')}" in said.out
    config = tmp_path / "x" / "config.toml"
    config.write_text(config.read_text().replace("lr = 0.05", "lr = 0.06"))
    said = foedus("reproduce", "x", "-q", "--json")
    assert said.status == 1
    told = json.loads(said.out)
    assert (told["same"], told["first_difference"]) == (False, 1)


def test_a_run_that_fails_has_status_1_and_keeps_what_it_had(foedus, small):
    said = foedus("run", small, "-o", "x", "--set", "program.fedavg.local.lr=1e6", "--set", "model.loss=mse")
    assert said.status == 2  # labels are no targets
    assert not Path("x").exists()
    small.write_text(SMALL.replace('"logistic"', "{ mlp = { hidden = [8, 8] } }"))
    said = foedus("run", small, "-o", "x", "--set", "program.fedavg.local.lr=1e9")
    assert said.status == 1
    assert re.search(r"foedus: the run diverged in round \d", said.err)


# -- several -------------------------------------------------------------------------------------------------------

SWEEP = """
[sweep]
program = ["fedavg", { sync_sgd = { rounds = 5, lr = 0.1 } }, { local_only = { rounds = 2 } }]
seed = [0, 1]
"""


@pytest.fixture
def sweep(tmp_path):
    file = tmp_path / "sweep.toml"
    small = SMALL[: SMALL.index("[program")]
    file.write_text(small + SWEEP.replace('"fedavg"', "{ fedavg = { rounds = 3 } }"))
    return file


def test_a_sweep_becomes_one_page(foedus, sweep, tmp_path):
    said = foedus("run", sweep)
    assert said.status == 0, said.err
    folder = tmp_path / "runs" / "sweep"
    cases = json.loads((folder / "study.json").read_text())["cases"]
    assert [c["label"] for c in cases] == [f"{p}, seed={s}" for p in ("FedAvg", "SyncSGD", "LocalOnly") for s in (0, 1)]
    for c in cases:
        assert json.loads((folder / c["folder"] / "run.json").read_text())["status"] == "finished"
    page = (folder / "report.html").read_text()
    assert "SyncSGD" in page
    assert (folder / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    assert "means over 2 seeds" in re.sub(r"\s+", " ", said.out)
    told = json.loads(foedus("show", folder, "--json").out)
    assert [g["seeds"] for g in told["groups"]] == [[0, 1]] * 3


def test_a_sweep_goes_on_where_it_stood(foedus, sweep, tmp_path, monkeypatch):
    assert foedus("compare", sweep, "-o", "whole", "-q").status == 0
    done = []
    real = fd.Run.plot  # any function would do: what matters is what is on the disk
    assert callable(real)

    import foedus.experiment.study as study

    train = study.Experiment.train

    def until_the_fourth(self, **options):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(self.name)
        return train(self, **options)

    monkeypatch.setattr(study.Experiment, "train", until_the_fourth)
    said = foedus("compare", sweep, "-o", "part", "-q")
    assert said.status == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    finished = sorted((tmp_path / "part").glob("*/model.safetensors"))
    assert len(finished) == 3
    before = [p.stat().st_mtime_ns for p in finished]
    said = foedus("run", "--resume", "part", "-q")
    assert said.status == 0
    assert [p.stat().st_mtime_ns for p in finished] == before  # what had ended was not run again
    for case in sorted(p.parent.name for p in (tmp_path / "whole").glob("*/run.json")):
        assert sha(tmp_path / "part" / case) == sha(tmp_path / "whole" / case)


def test_one_case_that_fails_does_not_stop_the_others(foedus, tmp_path):
    file = tmp_path / "a.toml"
    file.write_text(
        SMALL.replace('"logistic"', "{ mlp = { hidden = [8, 8] } }")
        + '[sweep]\n"program.fedavg.local.lr" = [1e9, 0.01]\n'
    )
    said = foedus("compare", file, "-o", "x", "-q")
    assert said.status == 1
    assert "lr=1000000000.0: the run diverged" in said.err
    assert json.loads((tmp_path / "x" / "2-lr-0.01" / "run.json").read_text())["status"] == "finished"


def test_several_files(foedus, small, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(SMALL.replace("rounds = 6", "rounds = 3"))
    said = foedus("compare", small, other, "-o", "x", "-q")
    assert said.status == 0
    told = json.loads(foedus("show", "x", "--json").out)
    assert [g["label"] for g in told["groups"]] == ["small", "other"]
    assert foedus("report", "x/1-small", "x/2-other", "-o", "both.html").status == 0
    assert "FedAvg" in (tmp_path / "both.html").read_text()


# -- on several networks -------------------------------------------------------------------------------------------

TWO = """
[sweep]
program = [{ sync_sgd = { rounds = 6, lr = 0.1 } }, { fedavg = { rounds = 3, local = { epochs = 4, lr = 0.05 } } }]
"""


@pytest.fixture
def two(tmp_path):
    file = tmp_path / "two.toml"
    file.write_text(SMALL[: SMALL.index("[program")] + TWO)
    return file


def test_every_case_on_every_network(foedus, two, tmp_path):
    said = foedus("compare", two, "--networks", "lan, WAN,mobile", "-o", "x", "-q")
    assert said.status == 0, said.err
    cases = json.loads((tmp_path / "x" / "study.json").read_text())["cases"]
    assert [(c["subject"], c["network"], c["settings"]["runtime.simulation.network"]) for c in cases] == [
        (p, n, n) for p in ("SyncSGD", "FedAvg") for n in ("lan", "wan", "mobile")
    ]
    assert cases[0]["settings"]["program"] == {"sync_sgd": {"rounds": 6, "lr": 0.1}}
    # What is learned is the same on all of them; the time it takes is not.
    for some in (cases[:3], cases[3:]):
        assert len({sha(tmp_path / "x" / c["folder"]) for c in some}) == 1
    told = json.loads(foedus("show", "x", "--json").out)
    assert told["networks"]["names"] == ["lan", "wan", "mobile"]
    times = [g["costs"]["virtual_s"] for g in told["groups"]]
    assert times[0] < times[1] < times[2]
    assert times[3] < times[4] < times[5]
    page = (tmp_path / "x" / "report.html").read_text()
    for words in ("Which fits which network", "MOBILE", "All else is told as it was on LAN."):
        assert words in re.sub(r"\s|&nbsp;", " ", page)
    assert told["networks"]["sentence"].replace("µ", "u") in re.sub(r"\s+", " ", said.out)
    # It is what the same file says that sweeps the network by itself.
    two.write_text(two.read_text() + '"runtime.simulation.network" = ["lan", "wan", "mobile"]\n')
    assert foedus("compare", two, "-o", "y", "-q").status == 0
    other = json.loads(foedus("show", "y", "--json").out)
    assert other["networks"] == told["networks"]
    assert [g["costs"]["virtual_s"] for g in other["groups"]] == times
    # Of two studies in one page each keeps its networks.
    assert foedus("report", "x", "y", "-o", "both.html").status == 0
    assert "FedAvg (y)" in (tmp_path / "both.html").read_text()


def test_networks_of_a_study_that_goes_on(foedus, two, tmp_path, monkeypatch):
    import foedus.experiment.study as study

    train, done = study.Experiment.train, []

    def until_the_third(self, **options):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(self.name)
        return train(self, **options)

    monkeypatch.setattr(study.Experiment, "train", until_the_third)
    assert foedus("run", two, "--networks", "all", "-o", "x", "-q").status == 130
    told = json.loads(foedus("show", "x", "--json").out)["networks"]
    assert told["names"] == ["ideal", "lan", "wan"]
    monkeypatch.setattr(study.Experiment, "train", train)
    said = foedus("run", "--resume", "x", "-q", "--json")
    assert said.status == 0
    assert json.loads(said.out)["networks"]["names"] == ["ideal", "lan", "wan", "mobile"]


def test_one_network_is_an_ordinary_run(foedus, small, tmp_path):
    assert foedus("run", small, "--networks", "mobile", "-o", "x", "-q").status == 0
    assert foedus("run", small, "--set", "runtime.simulation.network=mobile", "-o", "y", "-q").status == 0
    x, y = (json.loads(foedus("show", f, "--json").out)["costs"]["virtual_s"] for f in ("x", "y"))
    assert x == y


@pytest.mark.parametrize(
    ("more", "networks", "words"),
    [
        ("", "lan,wam", "unknown network 'wam': did you mean 'wan'?"),
        ("", "", "unknown network ''"),
        ("[runtime]\nlocal = {}\n", "lan", "Local runs in real time"),
        ('[sweep]\n"runtime.simulation.network" = ["lan", "wan"]\n', "lan", "sweeps the network already"),
    ],
)
def test_networks_that_cannot_be(foedus, small, more, networks, words):
    small.write_text(small.read_text() + more)
    said = foedus("compare", small, "--networks", networks, "-o", "x", "-q")
    assert said.status == 2
    assert words in said.err
    assert not Path("x").exists()


def test_networks_are_for_a_new_run(foedus, small):
    foedus("run", small, "-o", "x", "-q")
    said = foedus("run", "--resume", "x", "--networks", "lan")
    assert said.status == 2
    assert "--networks is for a new run" in said.err


# -- looking -------------------------------------------------------------------------------------------------------


def test_show_and_report(foedus, small, tmp_path):
    foedus("run", small, "-o", "x", "-q")
    said = foedus("show", "x")
    assert said.status == 0
    assert "accuracy" in said.out
    assert all(len(line) <= 100 for line in said.out.splitlines())
    told = json.loads(foedus("show", "x", "--json").out)
    assert told["sha256"] == sha("x")
    said = foedus("report", "x", "-o", "page.html")
    assert (
        "program = " in (tmp_path / "page.html").read_text()
        or "[program.fedavg]" in (tmp_path / "page.html").read_text()
    )


def test_data_as_text_picture_and_page(foedus, small, tmp_path):
    said = foedus("data", small)
    assert said.status == 0
    assert "4 nodes" in said.out
    for out in ("a.png", "a.svg", "a.html"):
        assert foedus("data", small, "-o", out).status == 0
        assert (tmp_path / out).stat().st_size > 1000
    told = json.loads(foedus("data", small, "--json").out)
    assert told["nodes"] == 4
    assert sum(told["sizes"]) == told["rows"] == 455


# -- what is wrong -------------------------------------------------------------------------------------------------


def test_a_run_in_use_is_left_alone(foedus, small, tmp_path):
    foedus("run", small, "-o", "x", "--set", "stop.after_commits=2", "-q")
    lock = FolderLock(tmp_path / "x")
    lock.acquire()
    try:
        said = foedus("run", "--resume", "x")
        assert said.status == 2
        assert f"in use by process {os.getpid()}" in said.err
        assert json.loads(foedus("show", "x", "--json").out)["status"] == "stopped"
    finally:
        lock.release()
    assert foedus("run", "--resume", "x", "-q").status == 0


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(foedus, small, small_disk, monkeypatch):
    assert foedus("run", small, "-o", "whole", "-q").status == 0
    filler, real = small_disk / "filler", fd.Model.load

    def fill(self, vector):
        if (small_disk / "x" / "checkpoint.safetensors").exists() and not filler.exists():
            with open(filler, "wb", buffering=0) as f, contextlib.suppress(OSError):
                while True:
                    f.write(bytes(256))
        return real(self, vector)

    monkeypatch.setattr(fd.Model, "load", fill)  # whatever runs between two commits would do
    said = foedus("run", small, "-o", small_disk / "x", "-q")
    assert said.status == 1
    assert "No space left on device" in said.err
    assert "make room, then resume the run" in said.err
    assert len(said.err.splitlines()) == 1
    monkeypatch.setattr(fd.Model, "load", real)
    filler.unlink()
    said = foedus("run", "--resume", small_disk / "x", "-q")
    assert said.status == 1  # the run is whole, but its pictures need more than this disk
    # Which of them is the first that does not fit hangs on some bytes of the files before it.
    assert re.search("the run is finished, but the (plot|report) cannot be written", said.err)
    assert sha(small_disk / "x") == sha("whole")


def test_the_graph_of_peers_is_told_before_the_run_and_drawn_after_it(foedus, small, tmp_path):
    small.write_text(SMALL[: SMALL.index("[program")] + '[program.gossip]\nrounds = 3\ntopology = "ring"\nlr = 0.1\n')
    said = foedus("run", small, "-o", "x")
    assert said.status == 0
    rows, first, *_ = said.err.splitlines()
    assert rows == "of 569 rows, 455 are trained on and 114 judge (of no node)"
    assert re.match(r"Ring\(\) of 4 nodes: 4 edges, degree 2, spectral gap 0\.6667", first)
    assert (tmp_path / "x" / "graph.svg").read_text().startswith("<svg")
    assert foedus("compare", small, "-o", "several", "-q").status == 0
    assert list((tmp_path / "several").glob("*/graph.svg"))


def test_trackers_stand_in_the_file(foedus, small, tmp_path):
    pytest.importorskip("tensorboard")
    small.write_text(small.read_text() + '[track]\ntensorboard = { folder = "tb" }\n')
    assert foedus("run", small, "-o", "x", "-q").status == 0
    assert list((tmp_path / "tb").rglob("events.out.tfevents.*"))


# -- tables --------------------------------------------------------------------------------------------------------

HOSPITALS = Path(__file__).parents[2] / "examples" / "hospitals.csv"


def test_from_a_csv_to_a_page_in_three_commands(foedus, tmp_path):
    (tmp_path / "hospitals.csv").write_bytes(HOSPITALS.read_bytes())
    said = foedus("data", "hospitals.csv")
    assert said.status == 0
    assert "foedus init hospitals.csv" in said.out
    assert foedus("init", "hospitals.csv").status == 0
    text = (tmp_path / "hospitals.toml").read_text()
    assert 'target = "disease"' in text
    assert 'node = "hospital"' in text
    assert sum(bool(line) and not line.startswith("#") for line in text.splitlines()) <= 24
    said = foedus("data", "hospitals.toml")
    assert said.status == 0
    assert "Switzerland" in said.out
    assert "no rows" in said.out
    said = foedus("run", "hospitals.toml", "-q", "--json")
    assert said.status == 0, said.err
    auc = {g["label"]: g["final"]["mean"] for g in json.loads(said.out)["groups"]}
    assert auc["FedAvg"] > auc["LocalOnly"] + 0.04
    assert auc["FedAvg"] > auc["Centralized"] - 0.02
    page = (tmp_path / "runs" / "hospitals" / "report.html").read_text()
    for words in ("Cleveland", "How it is for each node", "How the tables were prepared"):
        assert words in page


def table(tmp_path, change):
    lines = HOSPITALS.read_text().splitlines()
    (tmp_path / "t.csv").write_bytes(change(lines))
    (tmp_path / "t.toml").write_text(
        '[data]\nsource = "csv"\npath = "t.csv"\ntarget = "disease"\nnode = "hospital"\nid = "patient"\n'
        '[model]\nnetwork = "logistic"\n[program.fedavg]\nrounds = 2\n'
    )


def text_of(lines):
    return ("\n".join(lines) + "\n").encode()


TABLES = {
    "without the target": (lambda r: text_of([r[0].replace("disease", "Diseases"), *r[1:]]), ["mean 'Diseases'"]),
    "without the node's column": (lambda r: text_of([r[0].replace("hospital", "clinic"), *r[1:]]), ["hospital"]),
    "empty": (lambda r: b"", ["t.csv", "empty"]),
    "a header alone": (lambda r: text_of(r[:1]), ["t.csv", "no rows"]),
    "binary": (lambda r: b"\x00\x01\x02" * 9, ["t.csv", "binary"]),
    "not UTF-8": (lambda r: text_of(r).replace(b"Cleveland", b"Z\xfcrich"), ["t.csv", "UTF-8", "encoding"]),
    "an id twice": (lambda r: text_of([*r, r[5]]), ["patient", r"twice|duplicate|again|more than once"]),
    "one class only": (
        lambda r: text_of([r[0], *(x for x in r[1:] if x.endswith(",no"))]),
        ["disease", "nothing to learn"],
    ),
    "a ragged row": (lambda r: text_of([*r[:9], r[9] + ",x", *r[10:]]), ["t.csv", "line 10"]),
}  # fmt: skip


@pytest.mark.parametrize("what", TABLES)
def test_a_table_that_cannot_be_used_is_one_line_with_its_place(foedus, tmp_path, what):
    change, says = TABLES[what]
    table(tmp_path, change)
    said = foedus("run", "t.toml")
    assert said.status == 2, said
    assert len(said.err.splitlines()) == 1
    assert "t.toml:" in said.err
    for s in says:
        assert re.search(s, said.err), said.err
    assert not (tmp_path / "runs").exists()


def test_a_node_with_one_class_is_no_error(foedus, tmp_path):
    table(tmp_path, lambda r: text_of([r[0], *(x for x in r[1:] if "Switzerland" not in x or x.endswith(",yes"))]))
    said = foedus("run", "t.toml", "--set", "evaluate.nodes=1", "--set", "model.metrics=['auc']", "-q", "-o", "x")
    assert said.status == 0, said.err
    assert json.loads((tmp_path / "x" / "run.json").read_text())["node_metrics"]["auc"][3] is None


BAD = {
    "no file": (["run"], "", ["FILE", "--resume"]),
    "a file and a resume": (["run", "a.toml", "--resume", "x"], SMALL, ["FILE", "--resume"]),
    "a missing file": (["run", "b.toml"], SMALL, ["b.toml", "no such file"]),
    "an empty file": (["run", "a.toml"], "", ["a.toml", "empty"]),
    "a binary file": (["run", "a.toml"], b"\x00\x01\x02", ["a.toml", "binary"]),
    "not UTF-8": (["run", "a.toml"], b"name = \"\xff\"\n", ["a.toml:1", "UTF-8"]),
    "no TOML": (["run", "a.toml"], "a = = 1", ["a.toml:1", "TOML"]),
    "an unknown key": (["run", "a.toml"], SMALL.replace("rounds", "round"), ["a.toml:9", "did you mean 'rounds'"]),
    "a wrong type": (["run", "a.toml"], SMALL.replace("rounds = 6", 'rounds = "six"'), ["a.toml:9", "whole number"]),
    "several at once": (
        ["run", "a.toml"],
        SMALL.replace("rounds = 6", "rounds = true").replace('"logistic"', '"logistik"').replace("nodes", "node"),
        ["3 problems", "a.toml:5", "a.toml:7", "a.toml:9", "did you mean 'nodes'", "did you mean"],
    ),
    "an unknown set": (["run", "a.toml", "--set", "program.fedavg.x=1"], SMALL, ["--set program.fedavg.x", "unknown"]),
    "a set without a value": (["run", "a.toml", "--set", "seed"], SMALL, ["KEY=VALUE"]),
    "too many nodes": (["run", "a.toml", "--set", "data.nodes=10000"], SMALL, ["a.toml:4", "10000 nodes"]),
    "a table that is missing": (
        ["run", "a.toml", "--set", "data={source='csv', path='t.csv', target='y'}"], SMALL, ["t.csv"],
    ),
    "a folder that exists": (["run", "a.toml", "-o", "."], SMALL, ["already exists"]),
    "no run to resume": (["run", "--resume", "x"], SMALL, ["x is not a folder"]),
    "a folder that is no run": (["run", "--resume", "."], SMALL, ["holds no run"]),
    "no run to show": (["show", "."], SMALL, ["holds no run"]),
    "no run to report": (["report", "x"], SMALL, ["is not a folder"]),
    "no run to reproduce": (["reproduce", "x"], SMALL, ["is not a folder"]),
    "nothing to look at": (["data", "x.csv"], SMALL, ["x.csv"]),
    "nothing to start from": (["init", "x.csv"], SMALL, ["there is no x.csv"]),
    "a file in the way": (["init", "-o", "a.toml"], SMALL, ["a.toml already exists"]),
    "a target out of range": (["report", ".", "--target", "95"], SMALL, ["holds no run"]),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_status_2_and_says_where(foedus, tmp_path, what):
    args, text, says = BAD[what]
    (tmp_path / "a.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    said = foedus(*args)
    assert said.status == 2, said
    for s in says:
        assert s in said.err, said.err
    assert [p.name for p in tmp_path.iterdir()] == ["a.toml"]


def test_a_pipe_that_is_closed_early_is_no_error(small, tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-m", "foedus", "data", str(small), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdout.close()
    assert b"Traceback" not in child.stderr.read()
    child.wait()


PERSONAL = """\
[data]
source = "iris"
split = "iid"
nodes = 3
[model]
network = { mlp = { hidden = [4] } }
[sweep]
program = [{ fedavg = { rounds = 2 } }, { fedper = { rounds = 2 } }, { scaffold = { rounds = 2 } }]
"""


def test_a_comparison_with_personal_models_is_on_rows_held_out_and_of_one_objective(foedus, tmp_path):
    file = tmp_path / "personal.toml"
    file.write_text(PERSONAL)
    refused = foedus("compare", file)
    assert refused.status == 2
    assert "--set data.holdout=0.2" in refused.err
    assert not (tmp_path / "runs").exists()

    said = foedus("compare", file, "--set", "data.holdout=0.2", "-o", "c")
    assert said.status == 0
    told = " ".join(said.err.split())
    assert "Measured at the nodes: FedPer gives nodes models of their own" in told
    assert "One objective: Scaffold counts nodes by their rows here" in told
    whole = " ".join(said.out.split())
    assert "Accuracy is that on the rows that nodes hold out, at every node with the model that it has." in whole
    assert "All that train together minimise the mean loss over all rows" in whole
    found = json.loads(foedus("show", "c", "--json").out)["groups"]
    assert [g["comparable"] for g in found] == [True] * 3
    assert [g["evaluated_on"]["where"] for g in found] == ["nodes"] * 3
    assert [g["objective"] for g in found] == ["rows"] * 3


# -- what goes on is what was begun -----------------------------------------------------------------------------------


LONGER = ("--set", "stop.after_commits=100")


@pytest.fixture
def stopped(foedus, small):
    """The folder of a run that was stopped after two commits."""
    assert foedus("run", small, "-o", "part", "-q", "--set", "stop.after_commits=2").status == 0
    return Path("part")


def edited(folder, before, after):
    text = (folder / "config.toml").read_text()
    assert before in text
    (folder / "config.toml").write_text(text.replace(before, after))


def test_a_setting_that_was_changed_by_hand_is_refused_and_named(foedus, stopped):
    edited(stopped, "lr = 0.05", "lr = 0.06")
    before = {p.name: p.read_bytes() for p in stopped.iterdir()}
    said = foedus("run", "--resume", stopped, "-q")
    assert (said.status, len(said.err.splitlines())) == (2, 1)
    assert "program.fedavg.local.lr was 0.05 and is 0.06 now" in said.err
    assert "--set NAME=VALUE" in said.err
    assert {p.name: p.read_bytes() for p in stopped.iterdir()} == before
    # Said, it is meant; and the run tells.
    said = foedus("run", "--resume", stopped, "-q", "--set", "program.fedavg.local.lr=0.06")
    assert said.status == 0
    notice = "program.fedavg.local.lr is 0.06 from commit 3 on; it was 0.05"
    assert notice in " ".join(said.out.split())
    assert notice in json.loads((stopped / "run.json").read_text())["notices"]
    assert foedus("run", "--resume", stopped, "-q").status == 0  # and is what the run is from now on


def test_fewer_rounds_than_are_made_is_said(foedus, stopped):
    said = foedus("run", "--resume", stopped, "--set", "program.fedavg.rounds=1")
    assert said.status == 0
    assert "2 commits are made, and no more than 1 were asked for: no further one is made" in said.err
    assert len((stopped / "history.jsonl").read_text().splitlines()) == 2


def test_what_was_said_is_kept_though_it_was_killed_before_its_next_commit(foedus, stopped, monkeypatch):
    def killed(self, *args, **kwargs):
        raise SystemExit(9)

    with monkeypatch.context() as m:
        m.setattr("foedus.core.records.appended.Appended.append", killed)  # the files before it are written
        assert foedus("run", "--resume", stopped, "-q", *LONGER, "--set", "program.fedavg.rounds=4").status == 9
    assert "rounds = 4" in (stopped / "config.toml").read_text()
    assert foedus("run", "--resume", stopped, "-q").status == 0
    assert len((stopped / "history.jsonl").read_text().splitlines()) == 4


def test_other_labels_in_the_same_rows_are_refused(foedus, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("site,x,y\n" + "".join(f"{i % 3},{i % 7},{i % 2}\n" for i in range(60)))
    file = tmp_path / "table.toml"
    file.write_text(
        'seed = 0\n[data]\nsource = "csv"\npath = "table.csv"\ntarget = "y"\nnode = "site"\n'
        '[model]\nnetwork = "logistic"\n[program.fedavg]\nrounds = 4\n[stop]\nafter_commits = 2\n'
    )
    assert foedus("run", file, "-o", "part", "-q").status == 0
    text = table.read_text()
    table.write_text(text[:-2] + ("1" if text[-2] == "0" else "0") + "\n")
    said = foedus("run", "--resume", "part", "-q")
    assert (said.status, len(said.err.splitlines())) == (2, 1)
    assert "the data (rows, labels, or whose they are) is not what the checkpoint was made with" in said.err
    said = foedus("run", "--resume", "part", "--accept-changes")
    assert said.status == 0
    assert "the data is not as it was" in said.err


def test_a_case_that_was_changed_by_hand_is_refused(foedus, small, tmp_path):
    small.write_text(SMALL + "[sweep]\nseed = [0, 1]\n")
    assert foedus("run", small, "-o", "x", "-q", "--set", "stop.after_commits=2").status == 0
    study = tmp_path / "x" / "study.json"
    study.write_text(study.read_text().replace("lr = 0.05", "lr = 0.07"))
    for p in (tmp_path / "x").glob("*/run.json"):  # as if they had not ended
        p.write_text(p.read_text().replace('"stopped"', '"interrupted"'))
    said = foedus("run", "--resume", "x", "-q")
    assert said.status == 2
    assert "program.fedavg.local.lr was 0.05 and is 0.07 now" in said.err
    assert foedus("run", "--resume", "x", "-q", "--accept-changes").status == 0


def test_accept_changes_is_for_a_run_that_goes_on(foedus, small):
    said = foedus("run", small, "--accept-changes")
    assert said.status == 2
    assert "--accept-changes is for a run that goes on" in said.err


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["a commit", pytest.param("the page", marks=pytest.mark.slow)])
def test_a_few_ctrl_c_still_say_how_to_go_on(tmp_path, moment):
    """Three within a tenth of a second; the last while the command ends."""
    file = tmp_path / "small.toml"
    file.write_text(SMALL.replace("rounds = 6", "rounds = 100000" if moment == "a commit" else "rounds = 3"))
    child = subprocess.Popen(
        [sys.executable, "-m", "foedus", "run", str(file), "--out", "x", "-q"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    awaited = tmp_path / "x" / ("checkpoint.safetensors" if moment == "a commit" else "best.safetensors")
    while not awaited.exists():
        assert child.poll() is None
        time.sleep(0.001)
    for wait in (0.02, 0.03, 0.04):
        child.send_signal(signal.SIGINT)
        time.sleep(wait)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors
    if moment == "a commit":
        says = r"foedus: stopped at round \d+; go on with: foedus run --resume x\n"
    else:  # it may have been drawing the page already, or writing its last files
        says = r"foedus: stopped.*(: foedus report x|--resume x)\n"
    assert re.fullmatch(says, errors), errors
