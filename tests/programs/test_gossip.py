"""D-PSGD and local SGD with mixing: the mean follows SGD, disagreement decays as the spectrum says."""

import itertools
import logging
import math

import pytest
import torch

import foedus as fd
from foedus.programs import Gossip
from foedus.testing import check_program, integers
from foedus.topologies import (
    Absence,
    Complete,
    ErdosRenyi,
    Exponential,
    Hypercube,
    Metropolis,
    Mixing,
    OnePeer,
    Regular,
    Ring,
    Star,
    Torus,
    Uniform,
    mixing_matrix,
    second_eigenvalue,
)

FULL = fd.LocalSGD(steps=1, batch_size=None, lr=0.5)
# With weights that are powers of two, float32 computes everything below exactly.
DYADIC = [Hypercube(), Regular(3), Exponential(), OnePeer(), Complete()]


@pytest.fixture
def eight():
    return integers((4,) * 8)


def gradients(data, X):
    """The gradient of every node's mean half-squared error at its own row of X (n, D), float64."""
    rows = [data.rows(i).batch() for i in range(data.nodes)]
    return torch.stack(
        [((x.double() @ w - y.double().flatten()) @ x.double()) / len(x) for w, (x, y) in zip(X, rows, strict=True)]
    )


def models(states):
    return torch.stack([s.w for s in states]).double()


# -- gradient descent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", DYADIC)
@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_every_iterate_is_that_of_the_paper_to_the_bit(topology, rounds, eight, held):
    run = fd.train(Gossip(rounds, topology, lr=0.5, batch_size=None), eight.model, eight.data)
    X, mean = torch.zeros(8, 4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    for t in range(rounds):
        g = gradients(eight.data, X)
        X, mean = mixing_matrix(topology, 8, t=t) @ X - 0.5 * g, mean - 0.5 * g.mean(0)
    assert torch.equal(models(held(run)), X)
    assert torch.equal(run.vector.double(), mean)  # exact SGD on the mean gradient


@pytest.mark.parametrize("topology", [Ring(), Torus(), Star(), ErdosRenyi(0.6), Hypercube()])
def test_the_mean_iterate_follows_sgd_on_the_mean_gradient(topology, eight, held):
    rounds, lr = 12, 0.2
    run = fd.train(Gossip(rounds, topology, lr=lr, batch_size=None), eight.model, eight.data)
    X, mean = torch.zeros(8, 4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    for _ in range(rounds):
        g = gradients(eight.data, X)
        X, mean = mixing_matrix(topology, 8) @ X - lr * g, mean - lr * g.mean(0)
    assert float((X.mean(0) - mean).abs().max()) < 1e-14
    torch.testing.assert_close(run.vector.double(), mean, rtol=0, atol=2e-6)
    torch.testing.assert_close(models(held(run)), X, rtol=0, atol=2e-6)
    assert run.history[-1].metrics["consensus_distance"] > 0.01


@pytest.mark.parametrize("rounds", [1, 3, 7])
def test_averaging_over_everybody_is_all_reduce(rounds, eight, held):
    gossip = fd.train(Gossip(rounds, Complete(), local=FULL), eight.model, eight.data)
    reduced = fd.train(fd.SyncSGD(rounds, lr=0.5), eight.model, eight.data)
    assert torch.equal(gossip.vector, reduced.vector)
    assert all(torch.equal(s.w, reduced.vector) for s in held(gossip))
    assert gossip.history[-1].metrics["consensus_distance"] == 0.0


def test_local_sgd_averaged_over_everybody_is_fedavg():
    data = fd.data.load("digits").split(fd.data.IID(), nodes=4, seed=0)
    data = fd.data.arrays(data.x[:400], data.y[:400], node=[i % 4 for i in range(400)]).split(fd.data.Natural())
    local = fd.LocalSGD(epochs=2, batch_size=10, lr=0.1)
    runs = [
        fd.train(p, fd.Model(torch.nn.Linear(64, 10)), data)
        for p in (Gossip(3, Complete(), local=local), fd.FedAvg(3, local=local))
        if torch.manual_seed(0)
    ]
    torch.testing.assert_close(runs[0].vector, runs[1].vector, rtol=0, atol=1e-6)


# -- nothing but mixing ------------------------------------------------------------------------------------------


def test_ring_of_eight(starting_at):
    start = starting_at(range(8))
    run = fd.train(Gossip(6, Ring(), lr=start.once, batch_size=None), start.model, start.data)
    distance = [r.metrics["consensus_distance"] for r in run.history]
    assert distance[0] == 5.25
    assert distance[1] == pytest.approx(2.36111, abs=5e-6)
    assert distance[5] == pytest.approx(0.388919, abs=1e-6)
    assert float(run.vector) == 3.5


@pytest.mark.parametrize(
    ("topology", "n"), [*((Ring(), n) for n in (4, 5, 8, 12)), (Torus(), 9), (Torus(), 16), (Hypercube(), 8)]
)
def test_the_slow_eigenvector_decays_by_the_second_eigenvalue(topology, n, starting_at):
    values, vectors = torch.linalg.eigh(mixing_matrix(topology, n))
    slow = sorted(range(n), key=lambda k: -abs(float(values[k])))[1]
    start = starting_at(vectors[:, slow])
    run = fd.train(Gossip(7, topology, lr=start.once, batch_size=None), start.model, start.data)
    distance = [r.metrics["consensus_distance"] for r in run.history]
    lam = second_eigenvalue(mixing_matrix(topology, n))
    for a, b in itertools.pairwise(distance):
        assert math.sqrt(b / a) == pytest.approx(lam, rel=1e-5)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_one_peer_a_round_agrees_exactly_after_k_rounds(k, starting_at, held):
    n = 2**k
    start = starting_at([[(7 * i + j) % 32 for j in range(3)] for i in range(n)])
    run = fd.train(Gossip(1 + k, OnePeer(), lr=start.once, batch_size=None), start.model, start.data)
    # The first round mixes zeros, so that those after it go through all k graphs.
    states = held(run)
    assert all(torch.equal(s.w, states[0].w) for s in states)
    exact = torch.tensor([[(7 * i + j) % 32 for j in range(3)] for i in range(n)], dtype=torch.float64).mean(0)
    assert torch.equal(states[0].w.double(), exact)
    assert run.history[-1].metrics["consensus_distance"] == 0.0
    assert k == 1 or run.history[-2].metrics["consensus_distance"] > 0
    assert run.ledger.messages == 2 * n * (1 + k)


def test_denser_graphs_agree_sooner(starting_at):
    start = starting_at(torch.randn(16, 5, generator=torch.Generator().manual_seed(0)))
    left = [
        fd.train(Gossip(6, t, lr=start.once, batch_size=None), start.model, start.data).history[-1]
        for t in (Star(), Ring(), Torus(), Complete())
    ]
    distances = [r.metrics["consensus_distance"] for r in left]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-12


# -- peers that leave and come back ------------------------------------------------------------------------------

AWAY = (Absence(2, 1, 4), Absence(5, 2), Absence(0, 3, 5))


@pytest.mark.parametrize("topology", [Ring(), Hypercube(), ErdosRenyi(0.6)])
def test_mixing_conserves_the_sum_while_peers_come_and_go(topology, starting_at, held, at_every_commit):
    start = starting_at([8.0 * i for i in range(8)])
    program = Gossip(7, topology, lr=start.once, batch_size=None, absences=AWAY)
    before = None
    for t, run in enumerate(at_every_commit(program, start, 7)):
        x = [float(s.w) for s in held(run)]
        gone = Mixing(topology, 8, absences=AWAY).away(t)
        assert sum(x) == pytest.approx(sum(8.0 * i for i in range(8)), rel=1e-6)
        there = [v for i, v in enumerate(x) if i not in gone]
        assert float(run.vector) == pytest.approx(sum(there) / len(there), rel=1e-6)
        assert run.history[-1].cohort == len(there)
        if before is not None:
            assert all(x[i] == before[i] for i in gone)  # who is away keeps what it has
        before = x


def test_nobody_waits_for_who_is_away(eight):
    whole = fd.train(Gossip(6, absences=(Absence(3, 1, 4),)), eight.model, eight.data, per_node=True)
    assert len(whole.history) == 6
    assert whole.ledger.nodes[3].jobs == 3
    assert whole.ledger.nodes[4].jobs == 6
    # Its two neighbours send one message less in three rounds each.
    assert whole.ledger.total.messages_up == 6 * 16 - 3 * 4


# -- the rest ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        Gossip(3),
        Gossip(3, Star(), local=fd.LocalSGD(epochs=1, lr=0.05)),
        Gossip(5, OnePeer()),
        Gossip(5, absences=(Absence(1, 1, 3), Absence(4, 2))),
    ],
)
def test_laws(program):
    check_program(program, workers=(1,), runtime=fd.Simulation(network=fd.network.WAN))


def test_a_ring_learns_what_all_reduce_learns():
    data = fd.data.load("digits").split(fd.data.IID(), nodes=8, seed=0)
    runs = []
    for program in (Gossip(150, lr=0.3, batch_size=32), fd.SyncSGD(150, lr=0.3, batch_size=32)):
        torch.manual_seed(0)
        runs.append(fd.train(program, fd.Model(fd.models.mlp(64, 32, 10)), data, evaluate_every=50))
    ring, reduced = (r.history[-1] for r in runs)
    assert reduced.accuracy > 0.93
    assert ring.accuracy > reduced.accuracy - 0.02
    # The single models have just taken a step of their own, and have not been averaged since.
    assert ring.accuracy > ring.metrics["single_mean_accuracy"] > ring.metrics["single_worst_accuracy"] > 0.85


def test_quality_of_the_single_models_is_recorded_when_a_commit_is_evaluated():
    data = fd.data.load("digits").split(fd.data.Dirichlet(alpha=0.3), nodes=4, seed=0)
    model = fd.Model(fd.models.mlp(64, 10))
    run = fd.train(Gossip(5), model, data, evaluate_every=2)
    assert ["single_mean_accuracy" in r.metrics for r in run.history] == [False, True, False, True, True]
    each = [b["state"].w for b in run.checkpoint.tree["extra"]["peers"]["books"]]
    x, y = data.test_x, data.test_y
    accuracies = [float((model.copy_of(w)(x).argmax(1) == y).double().mean()) for w in each]
    assert run.history[-1].metrics["single_mean_accuracy"] == pytest.approx(sum(accuracies) / 4)
    assert run.history[-1].metrics["single_worst_accuracy"] == pytest.approx(min(accuracies))


def test_for_a_loss_alone_the_worst_is_the_largest(eight):
    run = fd.train(Gossip(2, batch_size=None), eight.model, eight.data)
    metrics = run.history[-1].metrics
    assert metrics["single_worst_loss"] > metrics["single_mean_loss"] > run.history[-1].loss  # the mean model's is less


def test_the_graph_is_logged_before_the_run(eight, caplog):
    with caplog.at_level(logging.INFO, logger="foedus"):
        fd.train(Gossip(1), eight.model, eight.data)
    assert [r.getMessage() for r in caplog.records if "spectral gap 0.1953" in r.getMessage()]


def test_what_does_not_fit(eight):
    with pytest.raises(fd.BadInput, match="column 0 sums to"):
        fd.train(Gossip(1, Star(), Uniform()), eight.model, eight.data)
    with pytest.raises(fd.BadInput, match="falls apart"):
        fd.train(Gossip(1, ErdosRenyi(0.05)), eight.model, eight.data)
    with pytest.raises(fd.BadInput, match="lr must be"):
        Gossip(1, lr=-1.0)
    with pytest.raises(fd.BadInput, match="batch_size"):
        Gossip(1, batch_size=0)
    assert Gossip(1).weights == Metropolis()
