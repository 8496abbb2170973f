import socket

import numpy as np
import pytest

import foedus as fd
from foedus.tracking import About, Trackers, settings


@pytest.fixture
def no_network(monkeypatch):
    """Only Unix sockets and the loopback can be connected to. Gives what was tried beyond."""
    tried, connect = [], socket.socket.connect

    def guarded(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            tried.append(address)
            raise OSError(f"no network in tests: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded)
    return tried


PROGRAM = fd.FedAvg(rounds=4, local=fd.LocalSGD(lr=0.2))


@pytest.fixture
def train():
    """Train a small model for four commits as ``train(track=...)`` would, and give the run."""
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("f")
    data = fd.data.arrays(x, (x[:, 0] > 0).astype(int), test=0.25).split(fd.data.IID(), nodes=3)
    model = fd.Model(fd.models.mlp(4, 4, 2))

    def run(track, out=None, resume=False, stop=(), after=None, program=PROGRAM, checkpoint_every=1):
        history = []
        if resume is True:
            history = fd.Checkpoint.load(out).history
        elif resume:
            history = resume.history
        about = About("FedAvg", 0, repr(program), settings(program=program), history)

        def record(r):
            trackers.record(r)
            if after is not None:
                after(r)

        with Trackers.open(track, about, out) as trackers:
            done = fd.train(
                program,
                model,
                data,
                out=out,
                resume=resume,
                stop=stop,
                progress=record,
                checkpoint_every=checkpoint_every,
            )
            trackers.close(done)
        return done

    return run
