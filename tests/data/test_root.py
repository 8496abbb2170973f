"""The root data set: rows that the coordinator holds itself."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.core.types.data import ROOT


def test_root_rows_are_at_no_node_and_no_row_is_lost():
    whole = fd.data.load("digits")
    plain, data = (whole.split(fd.data.Dirichlet(0.3), nodes=10, seed=1, root=r) for r in (None, 100))
    assert data.size(ROOT) == 100
    assert set(data.index.tolist()).isdisjoint(data.root_index.tolist())
    assert sorted([*data.index.tolist(), *data.root_index.tolist()]) == sorted(plain.index.tolist())
    assert data.fingerprint != plain.fingerprint
    assert data.rows(ROOT).batch()[0].shape == (100, 64)


def test_rows_that_belong_together_are_taken_together_and_no_node_is_emptied():
    x, y = torch.randn(40, 3), torch.arange(40) % 2
    group = torch.arange(40).div(4, rounding_mode="floor")
    whole = fd.data.arrays(x.numpy(), y.numpy(), group=group.numpy(), classes=2)
    data = whole.split(fd.data.IID(), nodes=5, seed=0, root=6)
    assert data.size(ROOT) == 8  # two patients
    assert set(group[data.root_index].tolist()).isdisjoint(group[data.index].tolist())
    assert min(data.sizes) >= 4


def test_more_than_there_is_to_take_is_refused():
    whole = fd.data.load("digits")
    with pytest.raises(fd.BadInput, match="each keeps at least one: at most 1,428 can"):
        whole.split(fd.data.IID(), nodes=10, root=1_430)
    with pytest.raises(fd.BadInput, match="from 1 up; got 0"):
        whole.split(fd.data.IID(), nodes=10, root=0)


@dataclass(frozen=True)
class AtRoot:
    """A program that trains at the coordinator alone."""

    rounds: int = 1

    async def __call__(self, fed: fd.Federation) -> torch.Tensor:
        s = await fed.begin(lambda w: fd.State(w=w))
        for _ in fed.rounds(self.rounds):
            (u,) = await fed.map(fd.LocalSGD(batch_size=10), {"w": s.w}, (ROOT,))
            assert u.weight == 100
            s = s.replace(w=s.w + u["delta"])
            await fed.commit(s)
        return s.w


@pytest.mark.parametrize("runtime", [None, fd.Simulation(workers=2), fd.Local(), fd.Processes()], ids=repr)
def test_a_program_can_give_it_jobs_which_cost_no_bytes(runtime):
    data = fd.data.load("digits").split(fd.data.IID(), nodes=4, seed=1, root=100)
    model = fd.Model(fd.models.linear(64, 10))
    run = fd.train(AtRoot(), model, data, runtime=runtime)
    assert run.sha256 == fd.train(AtRoot(), model, data).sha256
    assert run.history[-1].bytes_up == run.history[-1].bytes_down == 0


def test_without_one_a_program_that_needs_it_says_so():
    data = fd.data.load("digits").split(fd.data.IID(), nodes=4)
    with pytest.raises(fd.FoedusError, match="root = 100 in the file's"):
        fd.train(AtRoot(), fd.Model(torch.nn.Linear(64, 10)), data)
