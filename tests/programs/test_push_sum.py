"""Stochastic gradient push: sums are conserved after every event, on directed graphs, while peers come and go."""

import pytest
import torch

import foedus as fd
from foedus.programs import PushSum
from foedus.testing import check_program, integers
from foedus.topologies import Absence, Complete, Edges, Exponential, OnePeer, Ring, Star

CIRCLE = Edges([(i, (i + 1) % 8) for i in range(8)], directed=True)
LOPSIDED = Edges([*((i, (i + 1) % 8) for i in range(8)), (0, 4), (0, 2), (3, 1), (6, 2)], directed=True)
VALUES = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 6.0]
AWAY = (Absence(2, 1, 4), Absence(5, 2), Absence(0, 3, 6))


def job(start):
    return fd.LocalSGD(steps=1, batch_size=None, lr=start.once)


@pytest.mark.parametrize("absences", [(), AWAY, (Absence(7, 0, 2),), (Absence(1, 2), Absence(4, 2, 3))])
@pytest.mark.parametrize("topology", [OnePeer(), CIRCLE, Ring(), LOPSIDED, Star(hub=3)])
def test_sums_are_conserved_after_every_event(topology, absences, starting_at, held, at_every_commit):
    start = starting_at(VALUES)
    program = PushSum(8, topology, job(start), absences)
    halves = topology in (OnePeer(), CIRCLE)  # everything is divided by two, which float32 does exactly
    present = [v for i, v in enumerate(VALUES) if not any(a.node == i and a.start == 0 for a in absences)]
    for t, run in enumerate(at_every_commit(program, start, 8)):
        x, mass = [float(s.x) for s in held(run)], [s.mass for s in held(run)]
        assert sum(mass) == (8.0 if halves else pytest.approx(8.0, abs=1e-14))
        assert sum(x) == (sum(present) if halves else pytest.approx(sum(present), abs=1e-5))
        for i, s in enumerate(held(run)):
            gone = any(a.node == i and a.covers(t) for a in absences)
            assert (s.mass == 0) == gone
            assert gone or float(s.w) == pytest.approx(float(s.x) / s.mass, rel=1e-6)
        # The run's model is sum x / sum w over those who are there.
        assert float(run.vector) == pytest.approx(sum(x) / 8.0, abs=1e-5)


@pytest.mark.parametrize("topology", [CIRCLE, LOPSIDED, Exponential(), Star()])
def test_everybody_finds_the_mean_on_directed_graphs(topology, starting_at, held):
    start = starting_at(VALUES)
    run = fd.train(PushSum(200, topology, job(start)), start.model, start.data, evaluate_every=200)
    mean = sum(VALUES) / 8
    assert all(float(s.w) == pytest.approx(mean, abs=1e-4) for s in held(run))
    if topology == LOPSIDED:  # where x alone would have been wrong
        assert max(abs(float(s.x) - mean) for s in held(run)) > 0.5


def test_who_leaves_for_good_takes_nothing_along(starting_at, held):
    start = starting_at(VALUES)
    program = PushSum(100, Ring(), job(start), (Absence(6, 5), Absence(2, 1)))
    run = fd.train(program, start.model, start.data, evaluate_every=100)
    there = [s for i, s in enumerate(held(run)) if i not in (2, 6)]
    assert sum(s.mass for s in there) == pytest.approx(8.0, abs=1e-13)
    # The ring without two nodes is two paths: each agrees on its own, and together they hold the whole sum.
    assert sum(float(s.x) for s in there) == pytest.approx(sum(VALUES), abs=1e-4)


def test_who_comes_back_starts_from_a_neighbour(starting_at, held):
    start = starting_at([16.0 * v for v in VALUES])
    away = (Absence(4, 1, 3),)
    parts = [
        fd.train(PushSum(4, CIRCLE, job(start), away), start.model, start.data, stop=fd.AfterCommits(t)) for t in (3, 4)
    ]
    before, after = map(held, parts)
    # Node 3 halves what it holds twice: for node 4, whose host it is, and for the exchange; node 4 once for that.
    assert after[3].mass == before[3].mass / 4 + before[2].mass / 2
    assert after[4].mass == before[3].mass / 4 + before[3].mass / 4


def test_the_sum_moves_by_the_steps_taken_at_z_to_the_bit(held, at_every_commit):
    problem = integers((4,) * 8)
    rows = [[v.double() for v in problem.data.rows(i).batch()] for i in range(8)]
    program = PushSum(3, Exponential(), fd.LocalSGD(steps=1, batch_size=None, lr=0.5))  # quarters: float32 is exact
    total, Z = torch.zeros(4, dtype=torch.float64), torch.zeros(8, 4, dtype=torch.float64)
    for run in at_every_commit(program, problem, 3):
        gradients = [(x @ z - y.flatten()) @ x / len(x) for z, (x, y) in zip(Z, rows, strict=True)]
        total = total - 0.5 * torch.stack(gradients).sum(0)
        states = held(run)
        assert torch.equal(torch.stack([s.x for s in states]).double().sum(0), total)
        assert torch.equal(run.vector.double(), total / 8)
        Z = torch.stack([s.w for s in states]).double()


def test_on_the_complete_graph_it_is_all_reduce():
    problem = integers((4,) * 8)
    job = fd.LocalSGD(steps=1, batch_size=None, lr=0.5)
    pushed = fd.train(PushSum(4, Complete(), job), problem.model, problem.data)
    reduced = fd.train(fd.SyncSGD(4, lr=0.5), problem.model, problem.data)
    assert torch.equal(pushed.vector, reduced.vector)


def test_a_weight_near_zero_is_an_error(starting_at):
    n = 16
    edges = {(i, i + 1) for i in range(n - 1)} | {(i, j) for i in range(n) for j in range(4) if i != j}
    start = starting_at([1.0] * n)
    with pytest.raises(fd.ProgramError, match=r"node \d+'s push-sum weight fell to .*e-07 in round \d+.*more edges"):
        fd.train(PushSum(200, Edges(sorted(edges), directed=True), job(start)), start.model, start.data)


def test_what_does_not_fit(starting_at):
    start = starting_at(VALUES)

    def train(**options):
        fd.train(PushSum(5, **options), start.model, start.data)

    with pytest.raises(fd.BadInput, match="not strongly connected: 2 pieces"):
        train(topology=Edges([*((i, (i + 1) % 7) for i in range(7)), (0, 7)], directed=True))
    with pytest.raises(fd.BadInput, match=r"node 1 leaves .* in round 2, but of its neighbours \[2\] none is there"):
        train(topology=CIRCLE, absences=(Absence(1, 2), Absence(2, 1)))
    with pytest.raises(fd.BadInput, match=r"node 3 comes back .* in round 4, but of its neighbours \[2, 4\]"):
        train(topology=Ring(), absences=(Absence(3, 1, 4), Absence(2, 2, 4), Absence(4, 2, 4)))


@pytest.mark.parametrize(
    "program", [PushSum(3), PushSum(6, OnePeer(), absences=(Absence(1, 1, 3), Absence(4, 2), Absence(2, 0, 4)))]
)
@pytest.mark.parametrize("network", [fd.network.WAN, fd.network.IDEAL])
def test_laws(program, network):
    check_program(program, workers=(1,), runtime=fd.Simulation(network=network))
