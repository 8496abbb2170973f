"""What a run keeps of every node: its rows, its rarest class, how its rows move values, its model for the others."""

import math

import numpy as np
import pytest
import torch

import foedus as fd
from foedus.core.types.scoring import rarest
from foedus.core.types.statistics import Statistics

LOCAL = fd.LocalSGD(epochs=1, batch_size=8, lr=0.1)


@pytest.fixture(scope="module")
def data():
    g = torch.Generator().manual_seed(3)
    x = torch.randn(240, 4, generator=g)
    y = (x[:, 0] + 0.5 * torch.randn(240, generator=g) > 0.3).long()
    node = np.arange(240) % 3
    made = fd.data.Dataset(x=x, y=y, classes=2, node=node, node_names=("Ulm", "Kiel", "Trier"))
    return made.split(fd.data.Natural(), holdout=0.25)


def model():
    torch.manual_seed(0)
    return fd.Model(fd.models.logistic(4, 2), metrics=["auc", "accuracy"])


def run_of(program, data, **options):
    return fd.train(program, model(), data, evaluate_nodes=1, **options)


def test_rows_and_rarest_class_are_those_that_nodes_hold_out(data):
    run = run_of(fd.FedAvg(rounds=2, local=LOCAL), data)
    assert run.node_rows == [20, 20, 20]
    held = [data.held_out(n).batch(torch.arange(20))[1] for n in range(3)]
    assert run.node_rarest == [int(min((y == 0).sum(), (y == 1).sum())) for y in held]
    assert run.node_everybody is None  # all share a model


def test_each_nodes_own_model_is_told_on_everybodys_rows(data):
    run = run_of(fd.LocalOnly(rounds=2, local=LOCAL), data)
    assert set(run.node_everybody) == {"auc", "accuracy", "loss"}
    for name, values in run.node_everybody.items():
        assert len(values) == 3
        assert run.history[-1].measured(name) == pytest.approx(sum(values) / 3)
    assert run.node_everybody["auc"] != run.node_metrics["auc"]


def test_peers_have_models_of_their_own_too(data):
    run = run_of(fd.Gossip(rounds=2, lr=0.1, topology=fd.topologies.Ring()), data)
    assert run.node_everybody is not None
    assert [len(v) for v in run.node_everybody.values()] == [3, 3, 3]


def test_how_a_nodes_rows_move_its_values_tells_their_standard_error(data):
    run = run_of(fd.FedAvg(rounds=2, local=LOCAL), data)
    for node, values in enumerate(run.node_deviations):
        moved = np.frombuffer(values["accuracy"], dtype="<f4").astype(float)
        p = run.node_metrics["accuracy"][node]
        assert math.sqrt((moved**2).sum()) == pytest.approx(math.sqrt(p * (1 - p) / 20), rel=0.35)


def test_a_stopped_run_and_one_that_was_resumed_tell_the_same(data):
    program = fd.LocalOnly(rounds=3, local=LOCAL)
    whole = run_of(program, data)
    again = run_of(program, data, resume=run_of(program, data, stop=fd.AfterCommits(1)))
    for field in ("node_rows", "node_rarest", "node_deviations", "node_everybody", "node_metrics"):
        assert getattr(again, field) == getattr(whole, field), field


def test_of_many_nodes_no_deviations_are_kept(data, monkeypatch):
    monkeypatch.setattr("foedus.core.coordination.quality.MOST", 2)
    assert run_of(fd.FedAvg(rounds=1, local=LOCAL), data).node_deviations is None


@pytest.mark.parametrize(
    ("classes", "metrics", "expected"),
    [(2, ["auc"], 3), (3, ["auc_ovr"], 1), (3, ["f1_macro"], 1), (2, ["accuracy"], None)],
)
def test_the_rarest_class_is_counted_where_rows_are_by_class(classes, metrics, expected):
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1]) if classes == 2 else torch.tensor([0, 0, 0, 1, 1, 1, 2])
    m = fd.Model(fd.models.logistic(2, classes), metrics=metrics)
    found = m.statistics(torch.randn(7, classes), y)
    assert rarest(found) == expected
    assert rarest(found.coarse()) == expected
    assert rarest(Statistics({})) is None
