"""ClippedGossip: Gossip without clipping, its formula, what a neighbour can do at the most, whom it suspects."""

import math

import pytest
import torch

import foedus as fd
from foedus.programs import ClippedGossip, Gossip
from foedus.testing import check_program, integers
from foedus.topologies import Absence, Complete, OnePeer, Regular, Ring, Star, Torus, mixing_matrix

LOCAL = fd.LocalSGD(steps=2, batch_size=3, lr=0.1)


@pytest.fixture
def eight():
    return integers((4,) * 8)


def clipped(x_ND, heard_NND, W, tau=None, f=1):
    """The paper's sum for every node, in float64: ``heard[i][j]`` is what j sent i, NaN for nothing of use."""
    out = []
    for i, x in enumerate(x_ND):
        near = [j for j in range(len(W)) if j != i and W[i, j] > 0]
        d = {j: float((heard_NND[i][j] - x).norm()) for j in near}
        d = {j: v if math.isfinite(v) else math.inf for j, v in d.items()}
        radius = tau
        if tau is None:
            delta = sum(sorted((float(W[i, j]) for j in near), reverse=True)[:f])
            kept = sorted(near, key=d.__getitem__)[: len(near) - f]
            radius = math.sqrt(sum(float(W[i, j]) * d[j] ** 2 for j in kept) / delta)
        x = x.clone()
        for j in near:
            if math.isfinite(d[j]):
                x += W[i, j] * min(1.0, radius / d[j] if d[j] else 1.0) * (heard_NND[i][j] - x_ND[i])
        out.append(x)
    return torch.stack(out)


@pytest.mark.parametrize("topology", [Complete(), Ring(), Star(), Torus(), OnePeer()])
@pytest.mark.parametrize("local", [None, LOCAL])
@pytest.mark.parametrize("unclipped", [{"tau": math.inf}, {"f": 0}])
def test_with_nothing_clipped_it_is_gossip_bit_by_bit(topology, local, unclipped, eight, held):
    runs = [
        fd.train(program(3, topology, lr=0.3, batch_size=3, local=local, **more), eight.model, eight.data)
        for program, more in ((Gossip, {}), (ClippedGossip, unclipped))
    ]
    assert all(torch.equal(a.w, b.w) for a, b in zip(*map(held, runs), strict=True))


STARTS = [0.0, 1.0, 2.0, 10.0]


def test_the_radius_that_adapts_by_hand(starting_at, held):
    """Of node 0 the others are 1, 2 and 10 away; without the farthest tau^2 = (1 + 4) / 4 / (1 / 4) = 5."""
    start = starting_at(STARTS)
    run = fd.train(ClippedGossip(2, Complete(), lr=start.once, batch_size=None), start.model, start.data)
    assert float(held(run)[0].w) == pytest.approx((1 + 2 + math.sqrt(5)) / 4, rel=1e-6)


def test_who_sends_nothing_of_use_is_the_farthest(starting_at, held, liars):
    """Of node 0 the others are 1 and 2 away, and one sends NaN: tau is the root of 5 again, and clips nobody."""
    start = starting_at(STARTS)
    program = ClippedGossip(2, Complete(), lr=start.once, batch_size=None)
    run = fd.train(program, start.model, start.data, policy=liars((3,), math.nan, as_peers=True))
    assert float(held(run)[0].w) == (1 + 2) / 4


@pytest.mark.parametrize(
    ("topology", "settings"),
    [
        *((topology, {"tau": tau}) for topology in (Ring(), Torus(), Star()) for tau in (0.5, 2.0)),
        *((topology, {"f": 1}) for topology in (Ring(), Torus(), Regular(4))),
        *((topology, {"f": 2}) for topology in (Torus(), Regular(4), Complete())),
    ],
)
def test_a_round_is_that_of_the_formula(topology, settings, starting_at, held):
    values = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    start = starting_at(values)
    program = ClippedGossip(3, topology, lr=start.once, batch_size=None, **settings)
    run = fd.train(program, start.model, start.data)
    x, W = values.double(), mixing_matrix(topology, 9)
    for _ in range(2):  # the first round only takes them there
        x = clipped(x, [x] * 9, W, **settings)
    torch.testing.assert_close(torch.stack([s.w for s in held(run)]).double(), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("factor", [-1.0, 1e3, -1e30, math.nan, math.inf])
@pytest.mark.parametrize("topology", [Ring(), Torus(), Complete()])
def test_one_dishonest_neighbour_moves_nobody_further_than_its_weight_times_the_radius(
    topology, factor, starting_at, held, liars
):
    n, tau, liar = 9, 0.75, 4
    values = torch.randn(n, 3, generator=torch.Generator().manual_seed(2))
    start, W = starting_at(values), mixing_matrix(topology, n)
    program = ClippedGossip(2, topology, tau=tau, lr=start.once, batch_size=None)
    run = fd.train(program, start.model, start.data, policy=liars((liar,), factor, as_peers=True))
    x = values.double()
    silent = x.repeat(n, 1, 1)
    silent[torch.arange(n), liar] = x  # as if it had sent each what that one has
    moved = (torch.stack([s.w for s in held(run)]).double() - clipped(x, silent, W, tau)).norm(dim=1)
    others = [i for i in range(n) if i != liar]
    assert all(float(moved[i]) <= float(W[i, liar]) * tau + 1e-6 for i in others)
    if math.isfinite(factor) and abs(factor) > 1:  # and it is moved so far by who tries
        assert all(float(moved[i]) == pytest.approx(float(W[i, liar]) * tau, abs=1e-6) for i in others)


@pytest.mark.parametrize("topology", [Ring(), Torus(), Regular(6)])
@pytest.mark.parametrize("factor", [-3.0, 20.0, 1e6])
def test_what_a_dishonest_neighbour_changes_is_bounded_by_honest_disagreement(
    topology, factor, starting_at, held, liars
):
    """The step of the paper's consensus theorem: with tau^2 = sum W d^2 / delta over honest neighbours, clipping and
    lies together move a peer at most 2 sqrt(delta sum W d^2) from where honest neighbours alone would have it.
    """
    n, liar = 16, 5
    values = torch.randn(n, 3, generator=torch.Generator().manual_seed(3)) + 1.0
    start, W = starting_at(values), mixing_matrix(topology, n)
    policy = liars((liar,), factor, as_peers=True)
    program = ClippedGossip(2, topology, lr=start.once, batch_size=None)
    run = fd.train(program, start.model, start.data, policy=policy)
    x = values.double()
    bounds = []
    for i in range(n):
        if W[i, liar] == 0 or i == liar:
            continue
        near = [j for j in range(n) if W[i, j] > 0 and j not in (i, liar)]
        square = sum(float(W[i, j]) * float((x[j] - x[i]).square().sum()) for j in near)
        alone = x[i] + sum(W[i, j] * (x[j] - x[i]) for j in near)
        bound = 2 * math.sqrt(float(W[i, liar]) * square)
        bounds.append(bound)
        assert float((held(run)[i].w.double() - alone).norm()) <= bound + 1e-5
    assert bounds
    plain = fd.train(Gossip(2, topology, lr=start.once, batch_size=None), start.model, start.data, policy=policy)
    if factor > 1e3:  # which is no bound without clipping
        i = next(i for i in range(n) if W[i, liar] > 0 and i != liar)
        assert float(held(plain)[i].w.norm()) > 1e3


def test_it_suspects_who_lies_and_nobody_else(halves, liars):
    model, data = halves(16)
    run = fd.train(
        ClippedGossip(6, Torus(), lr=0.1, momentum=0.5), model, data, policy=liars((3, 8), -20.0, as_peers=True)
    )
    told = run.history[-1].suspects
    worst = sorted(told, key=lambda n: -told[n][0])[:2]
    assert sorted(worst) == [3, 8]
    assert min(told[n][0] for n in (3, 8)) > 0.8 > 0.5 > max(told[n][0] for n in told if n not in (3, 8))
    assert min(told[n][1] for n in (3, 8)) > 3 > max(told[n][1] for n in told if n not in (3, 8))
    nan = fd.train(ClippedGossip(2, Torus(), lr=0.1), model, data, policy=liars((3,), math.nan, as_peers=True))
    assert nan.history[-1].suspects[3] == (1.0, math.inf)


def test_momentum_is_the_mean_of_gradients_that_forgets(eight, held):
    beta, lr, rounds = 0.75, 0.25, 5
    program = ClippedGossip(rounds, Complete(), tau=math.inf, lr=lr, batch_size=None, momentum=beta)
    run = fd.train(program, eight.model, eight.data)
    X, m = torch.zeros(8, 4, dtype=torch.float64), None
    for _ in range(rounds):
        rows = [eight.data.rows(i).batch() for i in range(8)]
        g = torch.stack(
            [((x.double() @ w - y.double().flatten()) @ x.double()) / 4 for w, (x, y) in zip(X, rows, strict=True)]
        )
        m = g if m is None else beta * m + (1 - beta) * g
        X = X.mean(0).expand(8, 4) - lr * m
    torch.testing.assert_close(torch.stack([s.w for s in held(run)]).double(), X, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "program",
    [
        ClippedGossip(3, momentum=0.9),
        ClippedGossip(3, Complete(), tau=0.1, local=fd.LocalSGD(epochs=1, lr=0.05)),
        ClippedGossip(4, Complete(), absences=(Absence(1, 1, 3),)),
    ],
)
def test_laws(program):
    check_program(program, workers=(1,), runtime=fd.Simulation(network=fd.network.WAN))


def test_laws_among_dishonest_peers(liars, eight):
    program, policy = ClippedGossip(4, momentum=0.5), liars((2,), 9.0, as_peers=True)
    whole = fd.train(program, eight.model, eight.data, policy=policy)
    stopped = fd.train(program, eight.model, eight.data, policy=policy, stop=fd.AfterCommits(2))
    resumed = fd.train(program, eight.model, eight.data, policy=policy, resume=stopped)
    assert resumed.sha256 == whole.sha256
    assert [r.suspects for r in resumed.history] == [r.suspects for r in whole.history]
    assert whole.suspects[0].node == 2


def test_what_does_not_fit(eight):
    with pytest.raises(fd.BadInput, match="all neighbours but the f farthest, and node 0 has 3 in round 1"):
        fd.train(ClippedGossip(1, Ring(), f=2), eight.model, eight.data)
    with pytest.raises(fd.BadInput, match="tau is a distance"):
        ClippedGossip(1, tau=-1.0)
    with pytest.raises(fd.BadInput, match="f, the dishonest neighbours"):
        ClippedGossip(1, f=-1)
    with pytest.raises(fd.BadInput, match=r"momentum must be in \[0, 1\)"):
        ClippedGossip(1, momentum=1.0)
    with pytest.raises(fd.BadInput, match=r"momentum=0\.5 is of the gradient step"):
        ClippedGossip(1, momentum=0.5, local=LOCAL)
    with pytest.raises(fd.BadInput, match="ClippedGossip goes on without"):
        ClippedGossip(1, topology=fd.topologies.Exponential()).check_lost(8)
