"""Golden trajectories: recorded runs that catch a change nobody meant.

To change one, find which law or decision allows the change, and record it anew in a commit of its own that says why:
``python tests/golden/test_trajectories.py`` prints what now comes out. Numbers are compared to 1e-3: another
CPU rounds in another order.
"""

import json
from pathlib import Path

import pytest

import foedus as fd

RECORDED = Path(__file__).with_name("trajectories.json")

PROGRAMS = {
    "fedavg": fd.FedAvg(rounds=5, cohort=fd.Fixed(5), local=fd.LocalSGD(epochs=2, batch_size=10, lr=0.1)),
    "fedavg median": fd.FedAvg(rounds=5, aggregate=fd.Median(), local=fd.LocalSGD(steps=10, lr=0.1, momentum=0.9)),
    "fedavg top-k": fd.FedAvg(rounds=5, transforms=(fd.Clip(5.0), fd.ErrorFeedback(fd.TopK(0.05)))),
    "fedavg adam": fd.FedAvg(rounds=5, server=fd.optimizers.Adam(lr=0.01)),
    "sync sgd": fd.SyncSGD(rounds=10, lr=0.5, batch_size=8),
    "sync sgd, 2 backup": fd.SyncSGD(rounds=10, lr=0.5, backup=2),
    "centralized": fd.Centralized(rounds=2),
    "local only": fd.LocalOnly(rounds=2),
    "clipped gossip": fd.ClippedGossip(rounds=8, lr=0.2, momentum=0.9),
    "robust gossip": fd.RobustGossip(rounds=5, rule=fd.TrimmedMean(2), local=fd.LocalSGD(steps=3, lr=0.1)),
    "basgd": fd.BASGD(rounds=8, buckets=5, lr=0.3, batch_size=16),
    "zeno++": fd.ZenoPlusPlus(rounds=5, lr=0.05, batch_size=16, lazy=4),
}
ROOT = {"zeno++": 50}
"""Rows that the server holds itself."""


def trajectory(name):
    program = PROGRAMS[name]
    data = fd.data.load("digits").split(fd.data.Dirichlet(alpha=0.3), nodes=10, seed=1, root=ROOT.get(name))
    model = fd.Model(fd.models.mlp(64, 32, 10))
    run = fd.train(program, model, data, seed=1, runtime=fd.Simulation(network=fd.network.WAN))
    return {
        "loss": [round(r.loss, 6) for r in run.history],
        "bytes_up": run.ledger.bytes_up,
        "virtual_s": run.ledger.virtual_s,
        "epochs": run.history[-1].epochs,
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_trajectory_is_the_recorded_one(name):
    recorded, now = json.loads(RECORDED.read_text())[name], trajectory(name)
    assert now["loss"] == pytest.approx(recorded["loss"], rel=1e-3)
    assert now["bytes_up"] == recorded["bytes_up"]
    assert now["virtual_s"] == pytest.approx(recorded["virtual_s"], rel=1e-9)
    assert now["epochs"] == pytest.approx(recorded["epochs"], rel=1e-12)


if __name__ == "__main__":
    print(json.dumps({name: trajectory(name) for name in PROGRAMS}, indent=1))
