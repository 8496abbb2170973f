"""What nodes remember: written when it has changed, found again as it was, and thrown away when most is of the past."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

import foedus as fd
from foedus.core.records import memory
from foedus.core.records.checkpoint import CHECKPOINT, PREVIOUS, Checkpoint, find
from foedus.core.records.memory import Memory, load

LITTLE = 2**13


@pytest.fixture(autouse=True)
def little(monkeypatch):
    monkeypatch.setattr(memory, "LITTLE", LITTLE)


def state(x, size=LITTLE // 32):
    return {"job": {"residual": torch.full((size,), float(x)), "steps": x}}


def same(a, b):
    assert a.keys() == b.keys()
    for n in a:
        assert a[n]["job"]["steps"] == b[n]["job"]["steps"]
        assert torch.equal(a[n]["job"]["residual"], b[n]["job"]["residual"])


def written(m, states, lost=()):
    """What a checkpoint would have: everything is at home."""
    given = m.wanted(states, lost)
    place = m.write({n: s for n, s in given.items() if n not in lost})
    m.kept(place)
    return place, set(given)


def test_little_is_for_the_checkpoint_to_hold(tmp_path):
    m = Memory(tmp_path)
    assert written(m, {0: state(1, 8), 1: state(2, 8)}) == (None, {0, 1})
    assert written(m, {0: state(1, 8), 1: state(2, 8)}) == (None, {0, 1})
    assert list(tmp_path.iterdir()) == []


def test_only_what_has_changed_is_written(tmp_path):
    m, states = Memory(tmp_path), {n: state(n) for n in range(32)}
    place, given = written(m, states)
    assert given == set(states)
    before = place.mark.size
    states = {**states, 3: state(103), 40: state(40)}
    place, given = written(m, states)
    assert given == {3, 40}
    assert place.mark.size - before < 3 * LITTLE // 8 + 1000
    same(load(tmp_path, place), states)
    assert written(m, states) == (place, set())  # nothing has changed
    del states[7]
    place, _ = written(m, states)
    same(load(tmp_path, place), states)


def test_a_state_that_comes_back_is_written_again(tmp_path):
    """A commit that was undone: what was written in between is not what is there."""
    first = state(1)
    m, states = Memory(tmp_path), {n: state(n) for n in range(32)} | {0: first}
    written(m, states)
    written(m, {**states, 0: state(2)})
    place, given = written(m, states)
    assert given == {0}
    same(load(tmp_path, place), states)


def test_most_of_a_file_is_never_of_the_past_for_long(tmp_path):
    m, states = Memory(tmp_path), {n: state(n) for n in range(32)}
    places, total = [], 0
    draw = np.random.default_rng(0)
    for t in range(60):
        states = {**states, **{int(n): state(1000 + t) for n in draw.choice(32, 4, replace=False)}}
        place, given = written(m, states)
        total += len(given)
        places.append(place)
        there = {p.name for p in tmp_path.iterdir()}
        assert there == {p.name for p in places[-2:]}  # what the last two checkpoints name, and no more
        for p in places[-2:]:
            assert len(load(tmp_path, p)) == 32
    same(load(tmp_path, places[-1]), states)
    live = 32 * 4 * LITTLE // 32
    assert max(p.mark.size for p in places) < 3 * live + 2 * LITTLE
    assert places[-1].number >= 3
    assert total < 60 * 4 * 3  # what is written is at most so many times what has changed


def test_what_was_lost_with_its_node_does_not_come_back(tmp_path):
    m, states = Memory(tmp_path), {n: state(n) for n in range(32)}
    written(m, states)
    place, given = written(m, states, lost={5})
    assert given == {5}
    assert 5 not in load(tmp_path, place)
    states[5] = state(55)  # it began anew
    place, given = written(m, states)
    same(load(tmp_path, place), states)


def test_it_goes_on_where_it_was_found(tmp_path):
    m, states = Memory(tmp_path), {n: state(n) for n in range(32)}
    place, _ = written(m, states)
    written(m, {**states, 1: state(9)})  # of a commit whose checkpoint was not written any more
    again, states = Memory(tmp_path), load(tmp_path, place)
    again.found(place, states)
    states = {**states, 2: state(7)}
    place, given = written(again, states)
    assert given == {2}
    same(load(tmp_path, place), states)


@pytest.mark.parametrize("damage", ["shorter", "flipped", "gone"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, damage):
    m, states = Memory(tmp_path), {n: state(n) for n in range(32)}
    place, _ = written(m, states)
    path = tmp_path / place.name
    data = path.read_bytes()
    path.write_bytes(data[:-1] if damage == "shorter" else data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    if damage == "gone":
        path.unlink()
    with pytest.raises(ValueError, match=place.name):
        load(tmp_path, place)


# -- in a run ----------------------------------------------------------------------------------------------------------


PROGRAM = fd.FedAvg(
    8, cohort=fd.Fixed(2), local=fd.LocalSGD(lr=0.2), transforms=(fd.ErrorFeedback(fd.TopK(0.5)),)
)  # fmt: skip


@pytest.fixture
def data():
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("f")
    return fd.data.arrays(x, (x[:, 0] > 0).astype(int), test=0.25).split(fd.data.IID(), nodes=6)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return fd.Model(nn.Linear(4, 2))


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_a_run_whose_nodes_remember_much_goes_on_from_either_checkpoint(model, data, tmp_path, monkeypatch, k):
    monkeypatch.setattr(memory, "LITTLE", 0)
    whole, out = fd.train(PROGRAM, model, data), tmp_path / "run"
    part = fd.train(PROGRAM, model, data, out=out, stop=fd.AfterCommits(k))
    assert len(list(out.glob("memory-*"))) >= 1
    same_states(Checkpoint.load(out), part.checkpoint)
    shutil.copytree(out, tmp_path / "before")
    if k > 1:
        (tmp_path / "before" / CHECKPOINT).write_bytes(b"")
        assert find(tmp_path / "before").file == PREVIOUS
        assert fd.train(PROGRAM, model, data, out=tmp_path / "before", resume=True).sha256 == whole.sha256
    assert fd.train(PROGRAM, model, data, out=out, resume=True).sha256 == whole.sha256
    assert fd.train(PROGRAM, model, data, out=tmp_path / "other", resume=part).sha256 == whole.sha256
    same_states(Checkpoint.load(tmp_path / "other"), Checkpoint.load(out))


def same_states(a, b):
    a, b = a.tree["node_states"], b.tree["node_states"]
    assert a.keys() == b.keys()
    for n in a:
        assert str(a[n]) == str(b[n])


def test_states_that_are_damaged_leave_the_checkpoint_before(model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "LITTLE", 0)
    whole, out = fd.train(PROGRAM, model, data), tmp_path / "run"
    fd.train(PROGRAM, model, data, out=out, stop=fd.AfterCommits(3))
    last = find(out).beside.memory
    path = out / last.name
    data_ = path.read_bytes()
    path.write_bytes(data_[:-1] + bytes([data_[-1] ^ 1]))
    run = fd.train(PROGRAM, model, data, out=out, resume=True)
    assert run.sha256 == whole.sha256
    assert last.name in run.notices[0]
