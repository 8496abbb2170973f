"""Ctrl-C at moments that are drawn, while the parent of real processes keeps the books: the run goes on from there."""

import contextlib
import os
import random
import signal
import threading

import numpy as np
import pytest
import torch
from torch import nn

import foedus as fd
from foedus.core.records.lines import HISTORY, LEDGER

ROUNDS = 12
REMEMBERS = fd.FedAvg(ROUNDS, local=fd.LocalSGD(lr=0.1), transforms=(fd.ErrorFeedback(fd.TopK(0.5)),))
RUNS = {
    "server": (REMEMBERS, fd.Processes()),
    "tree": (REMEMBERS, fd.Processes(exchange="tree")),
    "peers": (fd.Gossip(ROUNDS, lr=0.1), fd.Processes()),
}


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("f")
    return fd.data.arrays(x, (x[:, 0] > 0).astype(int), test=0.25).split(fd.data.IID(), nodes=3)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return fd.Model(nn.Linear(4, 2))


def interrupted(whole, program, runtime, model, data, out, commit, wait, **options):
    """A run with a Ctrl-C so long after a commit, and the run that goes on from it: where it stopped."""
    begun, ended = threading.Event(), threading.Event()

    def press():
        begun.wait()
        if not ended.wait(wait):
            os.kill(os.getpid(), signal.SIGINT)

    def progress(record):
        if record.round == commit:
            begun.set()

    thread = threading.Thread(target=press)
    thread.start()
    stopped = None
    try:
        fd.train(program, model, data, runtime=runtime, out=out, progress=progress, **options)
    except fd.Interrupted as e:
        stopped = e.run
    except KeyboardInterrupt:
        pass  # after the run
    with contextlib.suppress(KeyboardInterrupt):
        begun.set()
        ended.set()
        thread.join()
    if stopped is not None and stopped.history:  # what it says goes on to the same bits as what its folder has
        assert fd.train(program, model, data, resume=stopped).sha256 == whole.sha256
    again = fd.train(program, model, data, runtime=runtime, out=out, resume=out.exists(), **options)
    assert again.sha256 == whole.sha256
    for name in (HISTORY, LEDGER):
        assert (out / name).read_bytes().count(b"\n") == ROUNDS
    return None if stopped is None else len(stopped.history)


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("how", RUNS)
def test_ctrl_c_at_random_moments_loses_nothing(data, model, tmp_path, how, every):
    program, runtime = RUNS[how]
    whole = fd.train(program, model, data)
    draw = random.Random(0)
    stops = [
        interrupted(
            whole, program, runtime, model, data, tmp_path / str(i), 1 + i % ROUNDS, draw.uniform(0, 0.01),
            checkpoint_every=every,
        )
        for i in range(11)
    ]  # fmt: skip
    assert len({*stops} - {None}) > 3
