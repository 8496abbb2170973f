"""A run's folder: one writer, whole files, and what happens when the disk is full."""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from msgspec import structs
from torch import nn

import foedus as fd
from foedus.core.records.checkpoint import CHECKPOINT, Checkpoint, find
from foedus.core.records.folder import ABOUT, RunFolder
from foedus.core.records.lines import HISTORY, LEDGER
from foedus.core.records.lock import LOCK, FolderLock, in_use

FEDAVG = fd.FedAvg(rounds=4, local=fd.LocalSGD(lr=0.2))


@pytest.fixture
def data():
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("f")
    return fd.data.arrays(x, (x[:, 0] > 0).astype(int), test=0.25).split(fd.data.IID(), nodes=5)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return fd.Model(nn.Linear(4, 2))


def rounds(path):
    return [json.loads(line)["round"] for line in path.read_text().splitlines()]


# -- one writer ----------------------------------------------------------------------------------------------------


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    assert not in_use(tmp_path)
    first.acquire()
    assert in_use(tmp_path)
    with pytest.raises(fd.BadInput, match=rf"in use by process {os.getpid()}: wait"):
        second.acquire()
    first.release()
    assert not in_use(tmp_path)
    second.acquire()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_no_lock_behind(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from foedus.core.records.lock import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "held\n"
    assert (tmp_path / LOCK).exists()
    assert not in_use(tmp_path)
    lock = FolderLock(tmp_path)
    lock.acquire()
    lock.release()


def test_a_run_refuses_a_folder_in_use_and_leaves_it_as_it_is(data, model, tmp_path):
    out = tmp_path / "run"
    fd.train(FEDAVG, model, data, out=out, stop=fd.AfterCommits(2))
    lock = FolderLock(out)
    lock.acquire()
    try:
        before = {p.name: p.read_bytes() for p in out.iterdir()}
        with pytest.raises(fd.BadInput, match="in use by process"):
            fd.train(FEDAVG, model, data, out=out, resume=True)
        assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    finally:
        lock.release()
    assert fd.train(FEDAVG, model, data, out=out, resume=True).status == "finished"


def test_two_new_runs_cannot_share_a_folder(data, model, tmp_path):
    out = tmp_path / "run"

    def second(record):
        if record.round == 1:
            with pytest.raises(fd.BadInput, match="already exists"):
                fd.train(FEDAVG, model, data, out=out)

    # Both were allowed to start, before either had committed: the one that commits second is refused.
    late = RunFolder.fresh(out)
    run = fd.train(FEDAVG, model, data, out=out, progress=second)
    assert run.status == "finished"
    with pytest.raises(fd.BadInput, match="filled by somebody else"):
        late.commit(run.history[0], {}, None)


# -- lines and files -----------------------------------------------------------------------------------------------


def test_the_ledger_has_a_line_a_commit_and_resuming_cuts_both(data, model, tmp_path):
    whole = fd.train(FEDAVG, model, data, out=tmp_path / "whole")
    part = tmp_path / "part"
    fd.train(FEDAVG, model, data, out=part, stop=fd.AfterCommits(2), config="seed = 0\n")
    for name in (HISTORY, LEDGER):  # as if it had gone on after its last checkpoint
        with open(part / name, "ab") as f:
            f.write(b'{"round": 3, "loss": 1.0}\n{"round": 4')
    again = fd.train(FEDAVG, model, data, out=part, resume=True, config="seed = 0\n")
    assert again.sha256 == whole.sha256
    assert rounds(part / HISTORY) == rounds(part / LEDGER) == [1, 2, 3, 4]
    last = json.loads((part / LEDGER).read_text().splitlines()[-1])
    assert last["bytes_up"] == whole.ledger.bytes_up
    assert (part / "config.toml").read_text() == "seed = 0\n"
    assert (part / LEDGER).read_bytes() == (tmp_path / "whole" / LEDGER).read_bytes()
    assert not list(part.glob("*.tmp"))


@pytest.mark.parametrize(
    "left", [(ABOUT + ".tmp",), (ABOUT,), (ABOUT, LEDGER), (ABOUT, LEDGER, HISTORY, CHECKPOINT + ".tmp", LOCK)]
)
def test_a_run_killed_before_its_first_checkpoint_begins_anew(data, model, tmp_path, left):
    whole, out = fd.train(FEDAVG, model, data, out=tmp_path / "whole"), tmp_path / "run"
    out.mkdir()
    for name in left:
        source = tmp_path / "whole" / name
        (out / name).write_bytes(source.read_bytes() if source.exists() else b"half")
    again = fd.train(FEDAVG, model, data, out=out, resume=True)
    assert again.sha256 == whole.sha256
    assert rounds(out / HISTORY) == [1, 2, 3, 4]
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in (tmp_path / "whole").iterdir())


def test_a_run_killed_after_its_last_commit_writes_its_last_files(data, model, tmp_path):
    whole, out = fd.train(FEDAVG, model, data, out=tmp_path / "whole"), tmp_path / "run"
    shutil.copytree(tmp_path / "whole", out)
    for name in ("model.safetensors", "best.safetensors"):
        (out / name).unlink()
    (out / "model.safetensors.tmp").write_bytes(b"half")
    told = json.loads((out / ABOUT).read_text())
    (out / ABOUT).write_text(json.dumps(told | {"status": "running", "sha256": "0"}))
    assert fd.train(FEDAVG, model, data, out=out, resume=True).sha256 == whole.sha256
    assert {p.name for p in out.iterdir()} == {p.name for p in (tmp_path / "whole").iterdir()}
    for name in ("model.safetensors", HISTORY, LEDGER, CHECKPOINT):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert json.loads((out / ABOUT).read_text())["status"] == "finished"


def made_under(folder, **origin):
    """Let the checkpoint say that it was made under other circumstances."""
    found = find(folder)
    then = found.checkpoint.circumstances
    then = structs.replace(then, origin={**then.origin, **origin})
    dataclasses.replace(found.checkpoint, circumstances=then).save(folder / CHECKPOINT, found.beside)


def test_what_a_resumed_run_does_not_share_with_its_first_part_is_said(data, model, tmp_path, caplog):
    out = tmp_path / "run"
    fd.train(FEDAVG, model, data, out=out, stop=fd.AfterCommits(2))
    made_under(out, torch="1.0", CPU="abacus", foedus="0.0.1")
    run = fd.train(FEDAVG, model, data, out=out, resume=True)
    assert len(run.notices) == 3
    for word, notice in zip(("foedus", "torch", "CPU"), run.notices, strict=True):
        assert word in notice
        assert "may differ" in notice
        assert notice in caplog.text
    assert json.loads((out / ABOUT).read_text())["notices"] == run.notices
    # It stays known, and is not said anew of a part that shares it.
    caplog.clear()
    again = fd.train(FEDAVG, model, data, out=out, resume=True)
    assert (again.notices, caplog.text) == (run.notices, "")
    same = fd.train(FEDAVG, model, data, out=tmp_path / "other", stop=fd.AfterCommits(2))
    assert fd.train(FEDAVG, model, data, out=tmp_path / "other", resume=True).notices == same.notices == []


def test_a_newer_foedus_is_refused_unless_that_is_meant(data, model, tmp_path):
    out = tmp_path / "run"
    fd.train(FEDAVG, model, data, out=out, stop=fd.AfterCommits(2))
    made_under(out, foedus="99.1")
    with pytest.raises(fd.BadInput, match=r"foedus 99\.1, which is newer .* update foedus, or .*accept.changes"):
        fd.train(FEDAVG, model, data, out=out, resume=True)
    run = fd.train(FEDAVG, model, data, out=out, resume=True, accept_changes=True)
    assert "foedus is not as it was (99.1 then" in run.notices[0]


@pytest.mark.parametrize("what", ["a row", "a label", "a test label"])
def test_other_data_is_refused_unless_that_is_meant(data, model, tmp_path, what):
    out = tmp_path / "run"
    fd.train(FEDAVG, model, data, out=out, stop=fd.AfterCommits(2))
    changed = {"a row": "x", "a label": "y", "a test label": "test_y"}[what]
    tensors = {name: getattr(data, name).clone() for name in ("x", "y", "test_x", "test_y")}
    tensors[changed].view(-1)[0] = 1 - tensors[changed].view(-1)[0]
    other = dataclasses.replace(data, **tensors)
    with pytest.raises(fd.BadInput, match=r"the data \(rows, labels, .* is not what .* accept_changes=True") as e:
        fd.train(FEDAVG, model, other, out=out, resume=True)
    assert "\n" not in str(e.value)
    run = fd.train(FEDAVG, model, other, out=out, resume=True, accept_changes=True)
    assert "the data is not as it was" in run.notices[0]
    assert fd.train(FEDAVG, model, other, out=out, resume=True).notices == run.notices


def test_what_is_given_differently_is_said(data, model, tmp_path, caplog):
    out = tmp_path / "run"
    fd.train(FEDAVG, model, data, out=out, stop=fd.AfterCommits(2))
    other = dataclasses.replace(FEDAVG, local=fd.LocalSGD(lr=0.4))
    run = fd.train(other, model, data, out=out, resume=True, stop=fd.AfterCommits(3))
    assert run.notices == ["program.local.lr is 0.4 from commit 3 on; it was 0.2"]
    assert run.notices[0] in caplog.text
    run = fd.train(dataclasses.replace(other, rounds=2), model, data, resume=run)
    assert run.notices[1:] == [
        "program.rounds is 2 from commit 4 on; it was 4",
        "3 commits are made, and no more than 2 were asked for: no further one is made",
    ]
    assert len(run.history) == 3


def test_run_json_can_do_without_but_is_not_overlooked(data, model, tmp_path):
    """The checkpoint knows all that resuming takes. What is damaged is named all the same."""
    whole, out = fd.train(FEDAVG, model, data), tmp_path / "run"
    fd.train(FEDAVG, model, data, out=out, stop=fd.AfterCommits(2))
    told = json.loads((out / ABOUT).read_text())
    for content in (b"", b"{", json.dumps(told | {"seed": "0"}).encode()):
        (out / ABOUT).write_bytes(content)
        with pytest.raises(fd.BadInput, match=r"run\.json is damaged.*remove it"):
            fd.train(FEDAVG, model, data, out=out, resume=True)
    (out / ABOUT).unlink()
    assert fd.train(FEDAVG, model, data, out=out, resume=True).sha256 == whole.sha256
    assert json.loads((out / ABOUT).read_text())["status"] == "finished"


# -- a disk that is full -------------------------------------------------------------------------------------------


def test_a_full_disk_stops_the_run_with_one_line_and_it_goes_on_when_there_is_room(data, model, small_disk):
    whole, out = fd.train(FEDAVG, model, data), small_disk / "run"
    filler = small_disk / "filler"

    def fill(record):
        if record.round == 2:
            with open(filler, "wb", buffering=0) as f, contextlib.suppress(OSError):
                while True:
                    f.write(bytes(1024))

    with pytest.raises(fd.StorageFailed, match=r"No space left on device.*commit 2 is kept there; make room") as e:
        fd.train(FEDAVG, model, data, out=out, progress=fill)
    assert "\n" not in str(e.value)
    assert e.value.run.status == "failed"
    assert Checkpoint.load(out).tree["round"] == 2
    filler.unlink()
    again = fd.train(FEDAVG, model, data, out=out, resume=True)
    assert again.sha256 == whole.sha256
    assert rounds(out / HISTORY) == [1, 2, 3, 4]


def test_whatever_write_fails_the_folder_stays_good(data, model, tmp_path, monkeypatch):
    """The n-th flush to the disk fails, for every n there is."""
    whole = fd.train(FEDAVG, model, data)
    real, failures = os.fsync, 0
    for n in range(200):
        calls = iter(range(10**6))

        def fsync(fd_, n=n, calls=calls):
            if next(calls) == n:
                raise OSError(28, "No space left on device")
            real(fd_)

        out = tmp_path / str(n)
        monkeypatch.setattr(os, "fsync", fsync)
        try:
            run = fd.train(FEDAVG, model, data, out=out)
            break
        except fd.StorageFailed:
            failures += 1
        finally:
            monkeypatch.undo()
        again = (
            fd.train(FEDAVG, model, data, out=out, resume=True)
            if any(out.iterdir())
            else fd.train(FEDAVG, model, data, out=out)
        )
        assert again.sha256 == whole.sha256
        assert rounds(out / HISTORY) == [1, 2, 3, 4]
    assert failures > 20
    assert run.sha256 == whole.sha256


def test_whatever_write_fails_while_it_resumes_the_folder_stays_good(data, model, tmp_path, monkeypatch):
    """The first flushes are those of files that were there before."""
    whole, part = fd.train(FEDAVG, model, data), tmp_path / "part"
    fd.train(FEDAVG, model, data, out=part, stop=fd.AfterCommits(2), config="seed = 0\n")
    real = os.fsync
    for n in range(0, 12, 2):
        calls = iter(range(10**6))

        def fsync(fd_, n=n, calls=calls):
            if next(calls) == n:
                raise OSError(28, "No space left on device")
            real(fd_)

        out = tmp_path / str(n)
        shutil.copytree(part, out)
        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(fd.StorageFailed, match="commit 2 is kept"):
            fd.train(FEDAVG, model, data, out=out, resume=True, config="seed = 0\n")
        monkeypatch.undo()
        assert rounds(out / HISTORY) in ([1, 2], [1, 2, 3])
        assert fd.train(FEDAVG, model, data, out=out, resume=True, config="seed = 0\n").sha256 == whole.sha256
        assert rounds(out / HISTORY) == rounds(out / LEDGER) == [1, 2, 3, 4]
