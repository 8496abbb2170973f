"""Bad input: one clear line, before anything runs, and nothing half-written."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

import foedus as fd
from foedus.core.types.data import FederatedDataset


def dataset(classes=3, rows=30, **options):
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype("f")
    return fd.data.arrays(x, np.arange(rows) % classes, **options)


def federation(**options):
    return dataset(**options).split(fd.data.IID(), nodes=3)


def linear(outputs=3, **options):
    return fd.Model(nn.Linear(4, outputs), **options)


def rows(**changes):
    whole = {
        "x": torch.ones(4, 4),
        "y": torch.tensor([0, 1, 2, 0]),
        "index": torch.arange(4),
        "offsets": torch.tensor([0, 2, 4]),
        "classes": 3,
    }
    return FederatedDataset(**(whole | changes))


def with_nan():
    x = torch.ones(4, 4)
    x[2, 1] = math.nan
    return x


class Pair(nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return y, y


class Per(nn.Module):
    """One output a row, without a second dimension."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 1)

    def forward(self, x):
        return self.lin(x).flatten()


FEDAVG = fd.FedAvg(rounds=2)


def train(out, program=FEDAVG, model=None, data=None, **options):
    return fd.train(program, model or linear(), data or federation(), out=out, **options)


# What is wrong: how it is asked for, and what the line says (what was wrong, what was expected or what to do).
BAD = {
    "cohort larger than the nodes": (
        lambda o: train(o, fd.FedAvg(rounds=2, cohort=fd.Fixed(9))),
        ["cohort of 9", "only 3"],
    ),
    "backup of everybody": (lambda o: train(o, fd.SyncSGD(rounds=2, backup=3)), ["3 of 3", "lower backup"]),
    "an empty node": (lambda o: train(o, data=rows(offsets=torch.tensor([0, 4, 4]))), ["node 1 has no rows"]),
    "no node": (lambda o: train(o, data=rows(offsets=torch.tensor([0]))), ["at least one node"]),
    "offsets beyond the index": (lambda o: train(o, data=rows(offsets=torch.tensor([0, 2, 9]))), ["offsets"]),
    "positions outside the rows": (lambda o: train(o, data=rows(index=torch.tensor([0, 1, 2, 4]))), ["0..3"]),
    "labels outside the classes": (
        lambda o: train(o, data=rows(y=torch.tensor([0, 1, 7, 0]))),
        ["label 7 in row 2", "3 classes 0..2"],
    ),
    "negative labels": (lambda o: train(o, data=rows(y=torch.tensor([0, -1, 2, 0]))), ["label -1 in row 1"]),
    "more classes than outputs": (lambda o: train(o, model=linear(2)), ["3 classes", "only 2", "last layer"]),
    "NaN in the data": (lambda o: train(o, data=rows(x=with_nan())), ["NaN", "row 2, column 1", "remove or impute"]),
    "NaN in the targets": (
        lambda o: train(o, data=rows(y=torch.tensor([0.0, math.inf, 1, 1]), classes=None)),
        ["y has 1 NaN or infinite", "row 1"],
    ),
    "x and y of different lengths": (lambda o: train(o, data=rows(y=torch.tensor([0]))), ["4 rows of x but 1 of y"]),
    "input that does not fit": (
        lambda o: train(o, model=fd.Model(nn.Linear(9, 3))),
        ["cannot take this data", "(2, 4)"],
    ),
    "no second dimension": (lambda o: train(o, model=fd.Model(Per())), ["cross_entropy needs outputs (rows, classes)"]),
    "two outputs": (lambda o: train(o, model=fd.Model(Pair(4, 3))), ["tuple"]),
    "one output too many": (
        lambda o: train(o, model=linear(2, loss="bce"), data=federation(classes=2)),
        ["bce needs one"],
    ),
    "bce with three classes": (lambda o: train(o, model=linear(1, loss="bce")), ["3 classes", "only 2"]),
    "labels where targets are needed": (
        lambda o: train(o, model=linear(3, loss="mse")),
        ["mse needs one output for every target"],
    ),
    "targets where labels are needed": (
        lambda o: train(o, data=fd.data.arrays(np.ones((6, 4)), np.linspace(0, 1, 6)).split(fd.data.IID(), nodes=2)),
        ["integer labels", "float32"],
    ),
    "a loss of the wrong shape": (lambda o: train(o, model=linear(loss=lambda out, y: out)), ["returned shape (2, 3)"]),
    "a loss that raises": (lambda o: train(o, model=linear(loss=lambda out, y: out @ y)), ["does not fit the loss"]),
    "a loss that is NaN": (lambda o: train(o, model=linear(loss=lambda out, y: out.sum() * math.nan)), ["not finite"]),
    "auc of three classes": (lambda o: train(o, model=linear(metrics=["auc"])), ["auc"]),
    "batch_size 0": (lambda o: fd.LocalSGD(batch_size=0), ["batch_size", "at least 1", "got 0"]),
    "batch_size 0 of gradients": (lambda o: train(o, fd.SyncSGD(rounds=1, batch_size=0)), ["batch_size", "got 0"]),
    "negative lr": (lambda o: fd.LocalSGD(lr=-0.1), ["lr", "non-negative", "-0.1"]),
    "lr NaN": (lambda o: fd.LocalSGD(lr=math.nan), ["lr", "nan"]),
    "negative lr of SyncSGD": (lambda o: train(o, fd.SyncSGD(rounds=1, lr=-1.0)), ["lr", "-1.0"]),
    "epochs 0": (lambda o: fd.LocalSGD(epochs=0), ["epochs", "at least 1"]),
    "rounds 0": (lambda o: train(o, fd.FedAvg(rounds=0)), ["at least one round", "0"]),
    "workers 0": (lambda o: train(o, runtime=fd.Simulation(workers=0)), ["at least one worker", "got 0"]),
    "a data set that is not divided": (lambda o: train(o, data=dataset()), ["Dataset", "split("]),
    "a module": (lambda o: train(o, model=nn.Linear(4, 3)), ["foedus.Model", "Linear", "Model(module"]),
    "a program's class": (lambda o: train(o, fd.FedAvg), ["a program is an object", "FedAvg"]),
    "something else for a program": (lambda o: train(o, "fedavg"), ["a program is an object", "fedavg"]),
    "evaluate_every 0": (lambda o: train(o, evaluate_every=0), ["evaluate_every", "from 1"]),
    "checkpoint_every 0": (lambda o: train(o, checkpoint_every=0), ["checkpoint_every", "from 1"]),
    "nothing to resume": (lambda o: train(o, resume=True), ["no run to resume"]),
    "an unknown failure policy": (lambda o: fd.All(failure="ignore"), ["ignore", "abort, skip, retry"]),
    "a quorum larger than the cohort": (
        lambda o: train(o, fd.FedAvg(rounds=1, until=fd.Quorum(5))),
        ["quorum of 5", "cohort of 3"],
    ),
    "a trimmed mean of too few": (
        lambda o: train(o, fd.FedAvg(rounds=1, aggregate=fd.TrimmedMean(f=2))),
        ["TrimmedMean", "got 3"],
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_clear_line_and_nothing_is_written(what, tmp_path):
    call, says = BAD[what]
    out = tmp_path / "deep" / "run"
    threads = torch.get_num_threads()
    with pytest.raises(fd.BadInput) as e:
        call(out)
    message = str(e.value)
    assert "\n" not in message
    for s in says:
        assert s in message, message
    assert list(tmp_path.iterdir()) == []
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("kind", ["file", "run", "other"])
def test_a_folder_that_exists_is_left_alone(tmp_path, kind):
    out = tmp_path / "run"
    if kind == "file":
        out.write_text("mine")
    elif kind == "run":
        train(out)
    else:
        out.mkdir()
        (out / "mine.txt").write_text("mine")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(fd.BadInput, match=r"already exists: .*resume") as e:
        train(out)
    assert "\n" not in str(e.value)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_an_empty_folder_will_do(tmp_path):
    assert train(tmp_path).status == "finished"


# -- runs that diverge ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NanAt(fd.LocalSGD):
    """Node 1 answers NaN as soon as the model has moved twice."""

    where: str = "delta"

    def __call__(self, node, args):
        u, _ = super().__call__(node, args)
        if node.id == 1 and node.state.get("count", torch.zeros(1)) >= 2:
            if self.where == "delta":
                u.parts["delta"][3] = math.nan
            else:
                u = replace(u, metrics={"loss": math.inf})
        return u, {"count": node.state.get("count", torch.zeros(1)) + 1}


@pytest.mark.parametrize("where", ["delta", "loss"])
def test_a_diverging_run_keeps_the_last_good_model(tmp_path, where):
    data, out = federation(), tmp_path / "run"
    model = linear()
    with pytest.raises(fd.Diverged) as e:
        fd.train(fd.FedAvg(rounds=9, local=NanAt(where=where)), model, data, out=out)
    message = str(e.value)
    assert "\n" not in message
    for s in ("round 3", "node 1", "NaN or infinite", "learning rate", "round 2, is kept"):
        assert s in message
    run = e.value.run
    assert run.status == "diverged"
    assert [r.round for r in run.history] == [1, 2]
    assert torch.isfinite(run.vector).all()
    good = fd.train(fd.FedAvg(rounds=2), model, data)
    assert run.sha256 == good.sha256
    assert len((out / "history.jsonl").read_text().splitlines()) == 2
    # What was kept can be gone on with, more gently.
    gentle = fd.FedAvg(rounds=4, local=fd.LocalSGD(lr=0.001))
    again = fd.train(gentle, model, data, out=out, resume=True)
    assert again.status == "finished"
    assert len(again.history) == 4
    assert torch.isfinite(again.vector).all()
    assert fd.train(gentle, model, data, resume=run).sha256 == again.sha256


def test_a_learning_rate_that_is_far_too_large(tmp_path):
    deep = fd.Model(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)))
    with pytest.raises(fd.Diverged, match=r"round 1: node \d's .* there is no commit yet.*lr") as e:
        fd.train(fd.FedAvg(rounds=5, local=fd.LocalSGD(lr=1e6, epochs=5)), deep, federation(), out=tmp_path / "run")
    assert torch.equal(e.value.run.vector, deep.initial)
    assert e.value.run.history == []
    assert not (tmp_path / "run").exists()
    with pytest.raises(fd.BadInput, match="no commit"):
        fd.train(fd.FedAvg(rounds=5), deep, federation(), resume=e.value.run)
