"""Each library holds exactly the run's numbers, once, whether the run was stopped and resumed or not."""

import importlib.util
import json
import os
import shutil
import socket
import sys

import pytest

import foedus as fd
from foedus.tracking import MLflow, TensorBoard, WandB

from . import readers

QUALITY = ("loss", "accuracy", "train_loss")
NUMBERS = ("bytes_up", "bytes_down", "messages", "epochs", "cohort", "compute_s", "virtual_s")


class Killed(BaseException):
    """Stands for a process that dies: nothing is closed."""


def tracker_and_reader(name, tmp_path):
    """A tracker, and what reads back ``(curves by round, curves by bytes, how many runs)``."""
    if name == "tensorboard":

        def read():
            folder = tmp_path / "tb"
            runs = [p for p in folder.iterdir()]
            return readers.tensorboard(runs[0]), readers.tensorboard(runs[0] / "by_bytes"), len(runs)

        return TensorBoard(str(tmp_path / "tb")), read
    if name == "mlflow":

        def read():
            runs = readers.mlflow(tmp_path / "mlruns")
            curves = runs[0][1]
            return curves, {k: v for k, v in curves.items() if k.startswith("by_bytes/")}, len(runs)

        return MLflow(str(tmp_path / "mlruns")), read

    def read():
        ids, curves, _, _ = readers.wandb(tmp_path / "wb")
        at = dict(curves["bytes"])
        by_bytes = {f"by_bytes/{k}": [(at[step], v) for step, v in curves[k]] for k in QUALITY}
        return curves, by_bytes, len(set(ids))

    return WandB(folder=str(tmp_path / "wb")), read


@pytest.fixture(params=["tensorboard", "mlflow", "wandb"])
def library(request, tmp_path):
    return tracker_and_reader(request.param, tmp_path)


def check(run, read):
    """The library has every number of every commit once."""
    by_round, by_bytes, runs = read()
    assert runs == 1
    for name in QUALITY + NUMBERS:
        expected = [(r.round, getattr(r, name)) for r in run.history]
        assert [s for s, _ in by_round[name]] == [s for s, _ in expected], name
        assert [v for _, v in by_round[name]] == pytest.approx([v for _, v in expected], rel=1e-6), name
    for name in QUALITY:
        expected = [(r.bytes_up + r.bytes_down, getattr(r, name)) for r in run.history]
        assert [s for s, _ in by_bytes[f"by_bytes/{name}"]] == [s for s, _ in expected]
        assert [v for _, v in by_bytes[f"by_bytes/{name}"]] == pytest.approx([v for _, v in expected], rel=1e-6)


def test_every_number_of_every_commit_once(library, train, no_network):
    tracker, read = library
    run = train(tracker)
    check(run, read)
    assert no_network == []


def test_a_tracked_run_has_the_same_bits(train, tmp_path):
    plain = train(()).sha256
    for name in ("tensorboard", "mlflow", "wandb"):
        assert train(tracker_and_reader(name, tmp_path)[0]).sha256 == plain


def test_a_resumed_run_goes_on_in_the_same_place(library, train, tmp_path):
    tracker, read = library
    train(tracker, tmp_path / "out", stop=fd.AfterCommits(2))
    check(train(tracker, tmp_path / "out", resume=True), read)


def test_resuming_a_finished_run_adds_nothing(library, train, tmp_path):
    tracker, read = library
    train(tracker, tmp_path / "out")
    check(train(tracker, tmp_path / "out", resume=True), read)


def test_rounds_that_a_killed_run_repeats_are_not_told_twice(library, train, tmp_path):
    tracker, read = library

    def kill(record):
        if record.round == 3:
            raise Killed

    # Checkpoints of every second commit: after the kill in round 3, round 3 is made again.
    with pytest.raises(Killed):
        train(tracker, tmp_path / "out", after=kill, checkpoint_every=2)
    check(train(tracker, tmp_path / "out", resume=True), read)


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_what_was_written_after_the_last_mark_is_not_there_twice(name, train, tmp_path):
    tracker, read = tracker_and_reader(name, tmp_path)
    train(tracker, tmp_path / "out", stop=fd.AfterCommits(1))
    marks = (tmp_path / "out" / "trackers.json").read_text()
    train(tracker, tmp_path / "out", resume=True, stop=fd.AfterCommits(2))
    # A process that died between telling the library of round 2 and writing that down.
    (tmp_path / "out" / "trackers.json").write_text(marks)
    check(train(tracker, tmp_path / "out", resume=True), read)


def test_a_tracker_that_comes_later_hears_of_the_beginning(library, train, tmp_path):
    tracker, read = library
    part = train((), tmp_path / "out", stop=fd.AfterCommits(2))
    assert not (tmp_path / "out" / "trackers.json").exists()
    check(train(tracker, tmp_path / "out", resume=True), read)
    assert len(part.history) == 2


def test_a_run_resumed_without_a_folder_is_a_run_of_its_own(library, train):
    tracker, read = library
    part = train((), stop=fd.AfterCommits(2))
    check(train(tracker, resume=part), read)


def test_a_library_that_lost_the_run_gets_it_anew(train, tmp_path):
    for name in ("tensorboard", "mlflow"):
        tracker, read = tracker_and_reader(name, tmp_path)
        train(tracker, tmp_path / name, stop=fd.AfterCommits(2))
        (mark,) = json.loads((tmp_path / name / "trackers.json").read_text()).values()
        (lost,) = tmp_path.rglob(mark["id"])
        shutil.rmtree(lost)
        check(train(tracker, tmp_path / name, resume=True), read)


def test_tensorboard_shows_settings_and_the_end(train, tmp_path):
    run = train(TensorBoard(str(tmp_path / "tb")))
    config = readers.tensorboard_text(tmp_path / "tb" / "FedAvg", "config")
    assert "| program.local.lr | 0.2 |" in config
    summary = readers.tensorboard_text(tmp_path / "tb" / "FedAvg", "summary")
    assert "| status | finished |" in summary
    assert run.sha256 in summary
    train(TensorBoard(str(tmp_path / "tb")))
    assert sorted(p.name for p in (tmp_path / "tb").iterdir()) == ["FedAvg", "FedAvg-2"]


def test_mlflow_shows_settings_and_the_end(train, tmp_path):
    tracker = MLflow(str(tmp_path / "mlruns"), experiment="mine")
    before = dict(os.environ)
    run = train(tracker, tmp_path / "out")
    assert {k: v for k, v in os.environ.items() if k.startswith("MLFLOW")} == {
        k: v for k, v in before.items() if k.startswith("MLFLOW")
    }
    ((kept, _),) = readers.mlflow(tmp_path / "mlruns", "mine")
    assert kept.info.run_name == "FedAvg"
    assert kept.info.status == "FINISHED"
    assert kept.data.params["program.local.lr"] == "0.2"
    assert kept.data.params["seed"] == "0"
    assert kept.data.tags["sha256"] == run.sha256
    assert float(kept.data.tags["best.accuracy"]) == run.best.accuracy


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "FAILED")])
def test_mlflow_shows_a_run_that_was_never_closed_as_failed(error, status, train, tmp_path):
    def stop(record):
        raise error

    with pytest.raises(BaseException):  # noqa: B017, PT011 (train wraps Ctrl-C)
        train(MLflow(str(tmp_path / "mlruns")), after=stop)
    ((kept, _),) = readers.mlflow(tmp_path / "mlruns")
    assert kept.info.status == status


def test_mlflow_without_a_database_says_what_to_install(train, tmp_path):
    if importlib.util.find_spec("sqlalchemy"):
        pytest.skip("the whole of MLflow is installed")
    with pytest.raises(fd.BadInput, match=r"MLflow cannot use 'sqlite:.*give a folder"):
        train(MLflow(f"sqlite:///{tmp_path}/x.db"))


def test_wandb_keeps_settings_and_the_end_and_nothing_else(train, tmp_path, capfd):
    run = train(WandB(project="mine", folder=str(tmp_path / "wb")))
    ids, _, summary, text = readers.wandb(tmp_path / "wb")
    assert len(ids) == 1
    assert summary["status"] == "finished"
    assert summary["sha256"] == run.sha256
    assert 'key: "program.local.lr"' in text
    assert 'project: "mine"' in text
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    # Neither who ran it and where, nor what is installed, nor code, nor the console.
    files = {p.name for p in (tmp_path / "wb").rglob("files/*")}
    assert files == set()
    assert f'host: "{socket.gethostname()}"' not in text
    for word in ("git {", "environment", "requirements.txt", "output_raw", sys.executable):
        assert word not in text


def test_unknown_mode_of_wandb():
    with pytest.raises(fd.BadInput, match="unknown mode 'of' of W&B: use one of offline, online"):
        WandB(mode="of")
