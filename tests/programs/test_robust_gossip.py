"""RobustGossip: the mean as its special case, its formula, what lies can do, centred rules, sparse graphs."""

import math
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.aggregators import NNM, Krum, Mean, Median, TrimmedMean
from foedus.programs import Gossip, RobustGossip
from foedus.testing import check_program, integers
from foedus.topologies import Absence, Complete, OnePeer, Regular, Ring, Star, Torus, graph_of


@pytest.fixture
def eight():
    return integers((4,) * 8)


def models(states):
    return torch.stack([s.w for s in states]).double()


@pytest.mark.parametrize("rule", [Mean(weighted=False), TrimmedMean(0)])
@pytest.mark.parametrize("centred", [False, True])
def test_a_rule_that_trims_nobody_is_the_mean_on_a_complete_graph(rule, centred, eight, held):
    """Eight nodes, integers and a rate of 1/2: float32 computes all of it exactly."""
    program = RobustGossip(3, rule=rule, centred=centred, lr=0.5, batch_size=None)
    run = fd.train(program, eight.model, eight.data)
    gossip = fd.train(Gossip(3, Complete(), lr=0.5, batch_size=None), eight.model, eight.data)
    assert torch.equal(models(held(run)), models(held(gossip)))
    assert run.sha256 == gossip.sha256


@pytest.mark.parametrize("rule", [Median(), TrimmedMean(1), TrimmedMean(2), NNM(1, TrimmedMean(1)), Krum(1)])
@pytest.mark.parametrize("topology", [Torus(), Regular(4)])
def test_a_round_is_the_rule_over_own_and_neighbours_models(rule, topology, starting_at, held):
    values = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    start = starting_at(values)
    run = fd.train(RobustGossip(3, topology, rule, lr=start.once, batch_size=None), start.model, start.data)
    x, into = values, graph_of(topology, 16).into
    for _ in range(2):  # the first round only takes them there
        x = torch.stack([rule(x[sorted((*into[i], i))]) for i in range(16)])
    torch.testing.assert_close(torch.stack([s.w for s in held(run)]), x)


@pytest.mark.parametrize("rule", [Median(), TrimmedMean(1), Krum(1)])
def test_centred_is_the_same_for_rules_that_move_along_with_their_input(rule, starting_at, held):
    start = starting_at([[float((7 * i + 5 * j) % 16) for j in range(3)] for i in range(9)])
    runs = [
        fd.train(RobustGossip(2, Torus(), rule, centred, lr=start.once, batch_size=None), start.model, start.data)
        for centred in (False, True)
    ]
    assert torch.equal(*(models(held(r)) for r in runs))


@pytest.mark.parametrize("factor", [-3.0, 1e3, -3e38, math.nan, math.inf])
@pytest.mark.parametrize("centred", [False, True])
def test_no_lie_moves_a_coordinate_out_of_the_honest_range(factor, centred, starting_at, held, liars):
    """Two of sixteen lie, and TrimmedMean(2) looks at nine models."""
    values = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
    start, bad = starting_at(values), (3, 8)
    program = RobustGossip(4, Regular(8), TrimmedMean(2), centred, lr=start.once, batch_size=None)
    run = fd.train(program, start.model, start.data, policy=liars(bad, factor, as_peers=True))
    honest = [i for i in range(16) if i not in bad]
    x = models(held(run))[honest]
    low, high = values[honest].double().amin(0), values[honest].double().amax(0)
    assert bool(((x >= low - 1e-6) & (x <= high + 1e-6)).all())
    told = run.history[-1].suspects
    if not math.isfinite(factor) or abs(factor) > 10:
        assert {run.suspects[0].node, run.suspects[1].node} == set(bad)
        assert all(told[n][1] > 10 for n in bad)
    if not math.isfinite(factor):
        assert all(told[n] == (1.0, math.inf) for n in bad)


def test_who_sends_nothing_of_use_counts_as_oneself(starting_at, held, liars):
    """On a ring with TrimmedMean(1) nobody can be missing: three models are the least that it takes."""
    start = starting_at([0.0, 1.0, 2.0, 3.0])
    program = RobustGossip(2, Ring(), TrimmedMean(1), lr=start.once, batch_size=None)
    run = fd.train(program, start.model, start.data, policy=liars((3,), math.nan, as_peers=True))
    # Node 0 hears of 1 and 3, node 2 of 1 and 3: instead of 3's they have their own once more.
    assert [float(s.w) for s in held(run)][:3] == [0.0, 1.0, 2.0]


@dataclass(frozen=True)
class Secret(Mean):
    """An aggregator with an exchange of its own, as a secure sum has."""

    async def exchange(self, fed, job, args, nodes, *, each, transforms, until):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("program", "nodes", "why"),
    [
        (RobustGossip(1, Ring(), TrimmedMean(2)), 8, r"TrimmedMean\(f=2\) needs .*at least 5 models, and node 0 has 3"),
        (RobustGossip(1, Star(), Median()), 8, None),
        (
            RobustGossip(1, Star(), TrimmedMean(1)),
            8,
            "node 1 has 2 in round 1: its own and those of 1 neighbour. Lower f",
        ),
        (RobustGossip(1, OnePeer(), TrimmedMean(1)), 8, "node 0 has 2 in round 1"),
        (RobustGossip(5, Ring(), TrimmedMean(1), absences=(Absence(3, 2),)), 8, "node 2 has 2 in round 3"),
        (RobustGossip(1, Torus(), Krum(1)), 16, None),
        (RobustGossip(1, Torus(), Krum(2)), 16, r"Krum\(f=2\) needs .*at least 7 models, and node 0 has 5"),
    ],
)
def test_a_neighbourhood_that_is_too_small_is_named(program, nodes, why):
    if why is None:
        assert "spectral gap" in program.prepare(nodes)
    else:
        with pytest.raises(fd.BadInput, match=why):
            program.prepare(nodes)


@pytest.mark.parametrize("program", [RobustGossip, fd.BASGD, fd.FedBuff])
def test_what_hides_single_answers_cannot_join_them_one_by_one(program):
    field = "rule" if program is RobustGossip else "aggregate"
    with pytest.raises(fd.BadInput, match=r"an exchange of its own .* and here they are at hand"):
        program(1, **{field: Secret()})


@pytest.mark.parametrize(
    "program",
    [
        RobustGossip(3, momentum=0.9),
        RobustGossip(3, rule=NNM(1, Median()), centred=True, local=fd.LocalSGD(epochs=1, lr=0.05)),
        RobustGossip(4, rule=Median(), absences=(Absence(1, 1, 3),)),
    ],
)
def test_laws(program):
    check_program(program, workers=(1,), runtime=fd.Simulation(network=fd.network.WAN))
