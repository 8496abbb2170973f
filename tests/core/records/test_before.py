"""Runs that were stopped before rounds had drivers (commit c3964f8) go on, to the bits of one that never stopped."""

import shutil
from pathlib import Path

import pytest
import torch

import foedus as fd
from foedus.testing import integers

BEFORE = Path(__file__).parent / "before"


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("sync", fd.SyncSGD(4, lr=0.5)),
        ("stream", fd.ParameterServer(4, lr=0.125)),  # with jobs in flight
        ("gossip", fd.Gossip(4, lr=0.125)),  # with messages under way
    ],
)
def test_a_checkpoint_of_before_goes_on(tmp_path, name, program):
    shutil.copytree(BEFORE / name, tmp_path / name)
    problem = integers()
    run = fd.train(program, problem.model, problem.data, out=tmp_path / name, resume=True)
    problem = integers()
    whole = fd.train(program, problem.model, problem.data)
    assert len(run.history) == len(whole.history) == 4
    assert run.history[-1].virtual_s == whole.history[-1].virtual_s
    assert run.history[-1].bytes_up == whole.history[-1].bytes_up
    if name == "sync":  # these numbers are exact, on any machine
        assert run.sha256 == whole.sha256
    assert torch.allclose(run.vector, whole.vector, rtol=1e-5)
