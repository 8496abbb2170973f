"""Batches of one row, and models with batch norm, which cannot be trained on them."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import foedus as fd
from foedus.core.types.data import IndexedRows
from foedus.core.types.job import NodeView
from foedus.core.types.keys import Key
from foedus.models.seeded import seeded


def data(*sizes):
    n = sum(sizes)
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    owner = [i for i, rows in enumerate(sizes) for _ in range(rows)]
    return fd.data.arrays(x, (x[:, 0] > 0).long(), node=owner, classes=2).split(fd.data.Natural())


def model(norm=True):
    torch.manual_seed(1)
    inside = [nn.BatchNorm1d(8)] if norm else []
    return fd.Model(nn.Sequential(nn.Linear(4, 8), *inside, nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)))


def images():
    """Batch norm over images: a single one has many numbers a channel."""
    torch.manual_seed(1)
    layers = [nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2)]
    return fd.Model(nn.Sequential(*layers))


def local(**options):
    return fd.LocalSGD(epochs=2, batch_size=10, lr=0.1, **options)


class Sizes(nn.Module):
    """Notes how many rows it is given."""

    def __init__(self):
        super().__init__()
        self.lin, self.seen = nn.Linear(2, 2), []

    def forward(self, x):
        self.seen.append(len(x))
        return self.lin(x)


class Read:
    """Rows that are read when asked for."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def gather(self, index):
        return self.x[index.long()]


BATCHES = st.builds(
    fd.LocalSGD,
    epochs=st.integers(1, 3),
    steps=st.none() | st.integers(1, 9),
    batch_size=st.none() | st.integers(1, 12),
    last_batch=st.sampled_from(["auto", "keep", "drop", "join", "join_one"]),
)


@settings(max_examples=25, deadline=None)
@given(BATCHES, st.integers(1, 40))
def test_what_a_job_says_of_its_batches_is_what_it_does(job, rows):
    x, y = torch.randn(rows, 2), torch.zeros(rows, dtype=torch.int64)
    seen, after = [], []
    for source in (x, Read(x)):
        counting = fd.Model(seeded(Sizes, 0))
        node = NodeView(0, IndexedRows(source, y, torch.arange(rows)), counting, {}, Key(3))
        u, _ = job(node, {"w": counting.initial})
        seen.append(counting.module.seen)
        after.append(u["delta"].clone())
    assert seen[0] == seen[1]
    assert torch.equal(*after)
    batches = job.batches(rows)
    assert seen[0] == (batches * job.steps_on(rows))[: job.steps_on(rows)]
    assert job.work(rows).trained == sum(seen[0])
    assert job.smallest_batch(rows) == min(seen[0])
    rest = rows % min(job.batch_size or rows, rows)
    assert sum(batches) == rows - (rest if job.last_batch == "drop" else 0)


def test_another_word_is_refused():
    with pytest.raises(fd.BadInput, match="did you mean 'join'"):
        fd.LocalSGD(last_batch="joined")


def train(job, data, model, **options):
    return fd.train(fd.FedAvg(rounds=2, local=job), model, data, **options)


@pytest.mark.parametrize("make", [lambda: model(norm=False), images], ids=["no norm", "images"])
def test_models_that_can_train_on_one_row_are_left_alone(make):
    auto = train(local(), data(21, 11, 30), make())
    assert auto.notices == []
    assert auto.program.local == local()
    assert auto.sha256 == train(local(last_batch="keep"), data(21, 11, 30), make()).sha256
    assert auto.sha256 != train(local(last_batch="join"), data(21, 11, 30), make()).sha256


class Plain:
    """A program that is no dataclass: nobody sees its jobs beforehand."""

    def __init__(self, job):
        self.job = job

    async def __call__(self, fed):
        return await fd.FedAvg(rounds=2, local=self.job)(fed)


@pytest.mark.parametrize(
    "runtime", [fd.Simulation(), pytest.param(fd.Processes(), marks=pytest.mark.slow)], ids=["one", "all"]
)
def test_a_last_row_joins_the_batch_before_and_that_is_said(runtime, caplog):
    run = train(local(), data(21, 11, 30), model(), runtime=runtime)
    notice = run.notices[0]
    assert "batch norm" in notice
    assert "at nodes 0, 1 (of 3) the last row of a pass joins" in notice
    assert notice in caplog.messages
    assert run.sha256 == train(local(last_batch="join_one"), data(21, 11, 30), model()).sha256
    assert run.sha256 == fd.train(Plain(local()), model(), data(21, 11, 30)).sha256
    assert train(local(), data(20, 12), model()).notices == []


@pytest.mark.parametrize(
    "program",
    [
        fd.Scaffold(rounds=1, local=local()),
        fd.FedNova(rounds=1, local=local()),
        fd.Ditto(rounds=1, local=local()),
        fd.FedRep(rounds=1, local=local()),
        fd.FedBuff(rounds=1, buffer=1, local=local()),
        fd.Gossip(rounds=1, local=local()),
        fd.LocalOnly(rounds=1, local=local()),
    ],
    ids=lambda p: type(p).__name__,
)
def test_siblings_do_it_too(program):
    run = fd.train(program, model(), data(21, 11))
    assert len(run.notices) == 1
    assert run.program.local == replace(program.local, last_batch="join_one")


def test_pooled_rows_are_one_node():
    run = fd.train(fd.Centralized(rounds=1, local=local()), model(), data(1, 20))
    assert "at the pooled rows the last row" in run.notices[0]


@pytest.mark.parametrize(
    ("program", "sizes", "says"),
    [
        (fd.FedAvg(rounds=1, local=local(last_batch="keep")), (21, 20, 11), r"a batch at nodes 0, 2 \(of 3\).*join"),
        (fd.FedAvg(rounds=1, local=fd.LocalSGD(batch_size=1)), (5, 5), r"a batch at nodes 0, 1 \(of 2\)"),
        (fd.FedAvg(rounds=1, local=local()), (1, 11), r"node 0 \(of 2\) has no more.*group norm"),
        (fd.SyncSGD(rounds=1), (20, 1, 1), r"nodes 1, 2 \(of 3\) have no more"),
        (fd.SyncSGD(rounds=1, batch_size=1), (20, 20), r"a batch at nodes 0, 1 \(of 2\)"),
        (fd.Gossip(rounds=1), (20, 1), r"node 1 \(of 2\)"),
        (fd.ParameterServer(rounds=1), (20, 1), r"node 1 \(of 2\)"),
        (fd.FedAvg(rounds=1, local=local()), [1] * 15, r"nodes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 5 more \(of 15\)"),
    ],
)
def test_who_cannot_train_is_named_before_the_run(program, sizes, says):
    with pytest.raises(fd.BadInput, match=says) as e:
        fd.train(program, model(), data(*sizes))
    assert "\n" not in str(e.value)
    assert fd.train(program, model(norm=False), data(*sizes)).notices == []


def test_a_program_that_goes_on_without_such_a_node_may():
    program = fd.FedAvg(rounds=1, local=local(), until=fd.All("skip"))
    run = fd.train(program, model(), data(1, 20))
    assert run.history[-1].cohort == 1
    assert "node 0 (of 2) has no more: there the job fails" in run.notices[0]
    assert "node 0 failed in round 1" in run.notices[1]
