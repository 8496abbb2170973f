"""Trackers never harm a run, and say at once what cannot be."""

import json
import logging
import subprocess
import sys
from dataclasses import dataclass, replace

import pytest

import foedus as fd
from foedus.core.records.run import Record
from foedus.tracking import About, Mark, MLflow, TensorBoard, Trackers, WandB, settings
from foedus.tracking.tracker import numbers, quality

LOG = []


@dataclass(frozen=True)
class Listener:
    """A tracker of the user's own: it writes down what it is told, and fails where it should."""

    name: str = "a"
    fails_at: int = 0
    fails_to_open: bool = False
    fails_to_close: bool = False

    def open(self, about):
        if self.fails_to_open:
            raise OSError("the disk\nis full")
        LOG.append((self.name, "open", about))
        return _Opened(self, about.mark or Mark("id-" + self.name))


@dataclass
class _Opened:
    owner: Listener
    mark: Mark

    def record(self, record):
        if record.round == self.owner.fails_at:
            raise ValueError("two\nlines")
        LOG.append((self.owner.name, record.round))

    def close(self, status, summary):
        LOG.append((self.owner.name, status))
        if self.owner.fails_to_close:
            raise ValueError("cannot close")


@pytest.fixture(autouse=True)
def empty():
    LOG.clear()


def told(name="a"):
    return [what[1] for what in LOG if what[0] == name and what[1] != "open"]


def test_a_tracker_hears_of_everything_once(train, tmp_path):
    run = train(Listener(), tmp_path / "out")
    assert told() == [1, 2, 3, 4, "finished"]
    about = LOG[0][2]
    assert (about.name, about.seed, about.mark, list(about.history)) == ("FedAvg", 0, None, [])
    assert about.config["program.rounds"] == 4
    kept = json.loads((tmp_path / "out" / "trackers.json").read_text())
    sent = run.history[-1].bytes_up + run.history[-1].bytes_down
    assert kept == {repr(Listener()): {"id": "id-a", "round": 4, "bytes": sent}}


def test_a_tracker_that_fails_is_off_after_one_warning_and_the_run_goes_on(train, caplog):
    plain = train(()).sha256
    with caplog.at_level(logging.WARNING, "foedus"):
        run = train((Listener("a", fails_at=2), Listener("b")))
    assert run.status == "finished"
    assert run.sha256 == plain
    assert told("a") == [1]
    assert told("b") == [1, 2, 3, 4, "finished"]
    (line,) = caplog.messages
    assert line.startswith("tracker Listener(name='a', fails_at=2")
    assert line.endswith("is off: ValueError: two lines")


def test_what_a_tracker_missed_is_told_when_the_run_goes_on(train, tmp_path, monkeypatch):
    tracker, once = Listener(), []

    def fails(self, record, told=_Opened.record):
        if record.round == 2 and not once:
            once.append(1)
            raise ValueError
        told(self, record)

    monkeypatch.setattr(_Opened, "record", fails)
    train(tracker, tmp_path / "out", stop=fd.AfterCommits(3))
    assert told() == [1]
    train(tracker, tmp_path / "out", resume=True)
    assert told() == [1, 2, 3, 4, "finished"]


def test_a_tracker_that_cannot_close_is_one_warning(train, caplog):
    with caplog.at_level(logging.WARNING, "foedus"):
        assert train(Listener(fails_to_close=True)).status == "finished"
    assert len(caplog.messages) == 1


def test_one_that_cannot_be_opened_ends_the_run_before_it_begins(train):
    with pytest.raises(fd.BadInput, match=r"Listener cannot be opened: the disk is full; see Listener\(name='b'"):
        train((Listener("a"), Listener("b", fails_to_open=True)))
    assert told("a") == ["failed"]


def test_a_run_that_is_not_closed_has_failed():
    with pytest.raises(RuntimeError), Trackers.open(Listener(), About("x")):
        raise RuntimeError
    assert told() == ["failed"]


@pytest.mark.parametrize("marks", ["", "[]", "{", '{"a": {"id": "b", "no": 1}}', '{"a": 3}', "\xff"])
def test_damaged_marks_are_one_warning(marks, train, tmp_path, caplog):
    train(Listener(), tmp_path / "out", stop=fd.AfterCommits(2))
    (tmp_path / "out" / "trackers.json").write_bytes(marks.encode("latin-1"))
    LOG.clear()
    with caplog.at_level(logging.WARNING, "foedus"):
        train(Listener(), tmp_path / "out", resume=True)
    assert told() == [1, 2, 3, 4, "finished"]
    assert [m for m in caplog.messages if "damaged" in m][:1]
    assert LOG[0][2].mark is None


@pytest.mark.parametrize(
    ("track", "message"),
    [
        (TensorBoard, r"got <class.*write TensorBoard\(\) with parentheses"),
        (("tensorboard",), r"track takes trackers, got 'tensorboard': such as TensorBoard\(\)"),
        ((Listener(), Listener()), "listed twice"),
    ],
)
def test_what_is_no_tracker(track, message):
    with pytest.raises(fd.BadInput, match=message):
        Trackers.open(track, About("x"))


@pytest.mark.parametrize(
    ("tracker", "library", "extra"),
    [
        (TensorBoard("tb"), "tensorboard", "tensorboard"),
        (MLflow("mlruns"), "mlflow", "mlflow"),
        (WandB(folder="wb"), "wandb", "wandb"),
    ],
)
def test_a_missing_library_is_named_with_the_command(tracker, library, extra, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [m for m in sys.modules if m.split(".")[0] == library or m.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(fd.BadInput, match=rf"{type(tracker).__name__} needs .*pip install 'foedus\[{extra}\]'"):
        Trackers.open(tracker, About("x"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for tracker in (TensorBoard(str(tmp_path / "file")), WandB(folder=str(tmp_path / "file"))):
        with pytest.raises(fd.BadInput, match="file"):
            Trackers.open(tracker, About("x"))


def test_no_library_is_imported_before_it_is_asked_for():
    code = (
        "import sys, foedus.tracking as t; t.TensorBoard(), t.MLflow(), t.WandB(); "
        "print([m for m in ('tensorboard', 'torch.utils.tensorboard', 'mlflow', 'wandb') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_numbers_are_all_numbers_of_a_record():
    r = Record(round=2, loss=0.5, auc=None, bytes_up=3, metrics={"consensus": 1.5})
    named = numbers(r)
    assert named["loss"] == 0.5
    assert named["bytes_up"] == 3.0
    assert named["consensus"] == 1.5
    assert not {"auc", "accuracy", "round", "metrics"} & set(named)
    assert quality(r) == {"loss": 0.5, "consensus": 1.5}
    assert set(numbers(replace(r, auc=0.1))) - set(named) == {"auc"}


def test_settings_are_flat():
    flat = settings(program=fd.FedAvg(rounds=2, cohort=fd.Fixed(3)), seed=1, more={"a": (1, 2)}, none=None)
    assert flat["program"] == "FedAvg"
    assert flat["program.cohort"] == "Fixed"
    assert flat["program.cohort.k"] == 3
    assert flat["program.transforms"] == "()"
    assert flat["more.a"] == "(1, 2)"
    assert flat["none"] is None
    assert flat["seed"] == 1
