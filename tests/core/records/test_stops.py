"""Stopped at any instant of a commit, by Ctrl-C or SIGKILL, a run goes on to the bits of one that never was."""

import contextlib
import dataclasses
import os
import random
import signal
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

import foedus as fd
from foedus.core.records import appended, atomic, memory
from foedus.core.records.checkpoint import Checkpoint, there_is_one
from foedus.core.records.lines import HISTORY, LEDGER

ROUNDS = 3
PROGRAM = fd.FedAvg(ROUNDS, local=fd.LocalSGD(lr=0.2), transforms=(fd.ErrorFeedback(fd.TopK(0.5)),))
COMMIT = ("session.py", "folder.py", "checkpoint.py", "memory.py", "appended.py", "atomic.py", "saved.py")
"""The files whose every line is a place to stop at."""


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("f")
    return fd.data.arrays(x, (x[:, 0] > 0).astype(int), test=0.25).split(fd.data.IID(), nodes=3)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return fd.Model(nn.Linear(4, 2))


@pytest.fixture(scope="module")
def whole(data, model):
    return fd.train(PROGRAM, model, data)


@pytest.fixture(params=["little memory", "much memory"])
def states(request, monkeypatch):
    """With what nodes remember in the checkpoint, and beside it, in files that are soon full of the past."""
    if request.param == "much memory":
        monkeypatch.setattr(memory, "LITTLE", 0)


def goes_on(whole, model, data, out, program=PROGRAM, **options):
    """The run in a folder, or one that begins if nothing was begun there, ends with the same bits and lines."""
    begun = out.exists() and any(p.suffix != ".tmp" for p in out.iterdir())
    again = fd.train(program, model, data, out=out, resume=begun, **options)
    assert (again.sha256, again.status) == (whole.sha256, "finished")
    assert not again.notices  # nothing was damaged
    assert Checkpoint.load(out).tree["round"] == len(whole.history)
    for name in (HISTORY, LEDGER):
        assert (out / name).read_bytes().count(b"\n") == len(whole.history)
    assert not list(out.glob("*.tmp"))
    assert len(list(out.glob("memory-*"))) <= 2


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def interrupted_at(place):
    """A Ctrl-C as the ``place``-th line of the commit's files is about to be run; yields how many lines were run."""
    seen = [0]

    def line(frame, event, arg):
        if event == "line":
            seen[0] += 1
            if seen[0] == place:
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
        return line

    def call(frame, event, arg):
        return line if frame.f_code.co_filename.endswith(COMMIT) and "foedus" in frame.f_code.co_filename else None

    sys.settrace(call)
    try:
        yield seen
    finally:
        sys.settrace(None)


def sweep_of_interrupts(whole, model, data, place, step, **options):
    with interrupted_at(0) as lines:
        fd.train(PROGRAM, model, data, out=place / "all", **options)
    stopped = 0
    for at in range(1, lines[0], step):
        out = place / str(at)
        try:
            with interrupted_at(at):
                fd.train(PROGRAM, model, data, out=out, **options)
            kept = None
        except fd.Interrupted as e:
            stopped, kept = stopped + 1, len(e.run.history)
        except KeyboardInterrupt:
            kept = None  # before the run or after it
        if kept is not None:  # what it says of itself is what is there
            assert there_is_one(out) == bool(kept)
            assert not kept or Checkpoint.load(out).tree["round"] == kept
        goes_on(whole, model, data, out, **options)
    assert stopped > (lines[0] // step) // 2


def test_ctrl_c_at_places_all_over_a_run_loses_nothing(whole, model, data, tmp_path, states):
    sweep_of_interrupts(whole, model, data, tmp_path, step=101)


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2])
def test_ctrl_c_at_every_other_line_of_every_commit_loses_nothing(whole, model, data, tmp_path, states, every):
    sweep_of_interrupts(whole, model, data, tmp_path, step=2, checkpoint_every=every)


LONG = dataclasses.replace(PROGRAM, rounds=12)


def leave(status):
    """End this process, though Ctrl-C may be pressed meanwhile."""
    try:
        os._exit(status)
    finally:
        leave(status)


def pressed(draw, out, model, data):
    """Train in a process of its own, press Ctrl-C one to three times at moments that are drawn: how it ended."""
    hear, say = os.pipe()
    child = os.fork()
    if child == 0:
        status = 9
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            fd.train(LONG, model, data, out=out, progress=lambda record: os.write(say, b"."))
            status = 0
        except fd.Interrupted as e:
            status = 2 if e.run.history else 1
        except KeyboardInterrupt:
            status = 0  # before the run or after it
        finally:
            leave(status)
    os.close(say)
    for _ in range(draw.randrange(LONG.rounds)):
        os.read(hear, 1)
    for longest_s in (0.004, 0.05, 0.05)[: draw.randrange(1, 4)]:
        time.sleep(draw.uniform(0, longest_s))
        os.kill(child, signal.SIGINT)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(hear)
    return status


def random_interrupts(model, data, place, runs):
    """How many of so many runs were stopped, before their first commit and after it."""
    whole, draw, ends = fd.train(LONG, model, data), random.Random(0), []
    for i in range(runs):
        ends.append(pressed(draw, place / str(i), model, data))
        goes_on(whole, model, data, place / str(i), LONG)
    assert {*ends} <= {0, 1, 2}
    return ends.count(1), ends.count(2)


def test_ctrl_c_at_random_moments_loses_nothing(model, data, tmp_path):
    assert sum(random_interrupts(model, data, tmp_path, 4))


@pytest.mark.slow
def test_five_hundred_ctrl_c_at_random_moments_lose_nothing(model, data, tmp_path):
    early, late = random_interrupts(model, data, tmp_path, 500)
    assert early + late > 200
    assert late > 100


# -- SIGKILL -----------------------------------------------------------------------------------------------------------


def killed_at(place, out, model, data, **options):
    """Train in a process of its own that is killed right before its ``place``-th step on the disk; whether it was."""
    child = os.fork()
    if child == 0:
        try:
            steps = iter(range(10**6))

            def then(step):
                def stepped(*args, **kwargs):
                    if next(steps) == place:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return step(*args, **kwargs)

                return stepped

            for name in ("fsync", "replace", "truncate", "mkdir"):
                setattr(os, name, then(getattr(os, name)))
            atomic.open = appended.open = then(open)
            fd.train(PROGRAM, model, data, out=out, **options)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def sweep_of_kills(whole, model, data, place, step, **options):
    kills = 0
    for at in range(0, 10**4, step):
        out = place / str(at)
        if not killed_at(at, out, model, data, **options):
            break
        kills += 1
        goes_on(whole, model, data, out, **options)
    return kills


def test_killed_before_some_steps_on_the_disk_it_loses_nothing(whole, model, data, tmp_path, states):
    assert sweep_of_kills(whole, model, data, tmp_path, 9) > 3


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2])
def test_killed_before_any_step_on_the_disk_it_loses_nothing(whole, model, data, tmp_path, states, every):
    assert sweep_of_kills(whole, model, data, tmp_path, 1, checkpoint_every=every) > 30


def test_killed_again_and_again_it_loses_nothing(whole, model, data, tmp_path, states):
    """The same folder, killed at each step of each attempt: also while it resumes."""
    out = tmp_path / "run"
    for at in (1, 6, 11, 8, 3, 14, 17):
        if out.exists() and any(p.suffix != ".tmp" for p in out.iterdir()):
            killed_at(at, out, model, data, resume=True)
        else:
            killed_at(at, out, model, data)
    goes_on(whole, model, data, out)
