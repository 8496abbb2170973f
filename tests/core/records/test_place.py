"""Where a run's folder may be made, and what is said of one that can no longer be written to."""

import errno
import os
import shutil

import pytest

import foedus as fd
from foedus.core.records.place import check_new_folder, why_not_written


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.symlink("nowhere", "dangling")
    os.symlink("loop", "loop")
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "empty").mkdir()
    os.symlink("empty", "link")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("dangling", r"dangling is a link to nowhere, which is not there; make that folder, remove the link"),
        ("dangling/x/y", r"^dangling/x/y cannot be created: .*/dangling is a link to nowhere"),
        ("loop", r"^loop cannot be created: loop is a link to loop, which is not there"),
        ("file", r"^file already exists: INSTEAD"),
        ("full", r"^full already exists: INSTEAD"),
        ("file/x", r"^file/x cannot be created: .*/file is not a folder that can be written to"),
        ("/proc/x", r"^/proc/x cannot be created in /proc: there is no such place"),
        ("n" * 300, r"cannot be created in n+: the name is too long for this file system: choose a shorter one"),
    ],
)
def test_what_cannot_become_a_runs_folder_is_said_before_anything_runs(places, tmp_path, place, said):
    with pytest.raises(fd.BadInput, match=said):
        check_new_folder(tmp_path.__class__(place), "INSTEAD")
    rounds = []
    data = fd.data.load("iris").split(fd.data.IID(), nodes=2)
    with pytest.raises(fd.BadInput):
        fd.train(fd.FedAvg(2), fd.Model(fd.models.logistic(4, 3)), data, out=place, progress=lambda r: rounds.append(r))
    assert rounds == []
    assert not (tmp_path / "nowhere").exists()


def test_what_can(places, tmp_path):
    for place in ("empty", "link", "new", "new/er", "link/x"):
        check_new_folder(tmp_path / place, "")


@pytest.mark.parametrize("after", [1, 2])
def test_a_folder_that_is_removed_during_the_run(tmp_path, after):
    def remove(record):
        if record.round == after:
            shutil.rmtree(tmp_path / "r")

    data = fd.data.load("iris").split(fd.data.IID(), nodes=2)
    with pytest.raises(fd.StorageFailed) as caught:
        fd.train(fd.FedAvg(3), fd.Model(fd.models.logistic(4, 3)), data, out=tmp_path / "r", progress=remove)
    assert str(caught.value) == (
        f"{tmp_path / 'r'} is no longer there, and commit {after} with it: something removed or replaced it during the "
        "run; begin the run anew"
    )


def test_what_to_do_is_what_helps(tmp_path):
    full = why_not_written(tmp_path, OSError(errno.ENOSPC, "No space left on device"), 2)
    assert full.endswith("(No space left on device): commit 2 is kept there; make room, then resume the run")
    other = why_not_written(tmp_path, OSError(errno.EIO, "Input/output error"), 0)
    assert other.endswith("(Input/output error): nothing could be kept; see to that, then resume the run")
