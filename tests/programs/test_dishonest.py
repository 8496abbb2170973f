"""Two of sixteen lie: programs that take what comes break, those that defend themselves hold; what composes."""

import math
from functools import cache

import pytest
import torch

import foedus as fd
from foedus.aggregators import NNM, Krum, Median, TrimmedMean
from foedus.programs import BASGD, ClippedGossip, FedBuff, Gossip, ParameterServer, RobustGossip, ZenoPlusPlus
from foedus.testing import check_program
from foedus.topologies import Torus

BAD = (3, 8)
MOBILE = fd.Simulation(network=fd.network.MOBILE)


@cache
def digits():
    return fd.data.load("digits").split(fd.data.IID(), nodes=16, seed=0, root=100)


def reached(program, **more):
    torch.manual_seed(0)
    model = fd.Model(fd.models.mlp(64, 32, 10))
    run = fd.train(program, model, digits(), evaluate_every=program.rounds, **more)
    return run.history[-1].accuracy, run


LOCAL = fd.LocalSGD(steps=4, batch_size=10, lr=0.3)


def test_gossip_on_a_torus(liars):
    policy = liars(BAD, -4.0, as_peers=True)
    assert reached(Gossip(15, Torus(), local=LOCAL))[0] > 0.85
    assert reached(Gossip(15, Torus(), local=LOCAL), policy=policy)[0] < 0.2
    with pytest.raises(fd.Diverged):
        reached(Gossip(15, Torus(), local=LOCAL), policy=liars(BAD, math.nan, as_peers=True))
    for program in (
        ClippedGossip(15, Torus(), local=LOCAL),
        RobustGossip(15, Torus(), TrimmedMean(1), local=LOCAL),
        RobustGossip(15, Torus(), NNM(1, Median()), lr=0.5, momentum=0.5),
    ):
        held, run = reached(program, policy=policy)
        assert held > (0.8 if program.local else 0.6)
        assert {s.node for s in run.suspects[:2]} == set(BAD)
    _, run = reached(ClippedGossip(4, Torus(), local=LOCAL), policy=liars(BAD, math.nan, as_peers=True))
    assert [(s.node, s.left_out) for s in run.suspects[:2]] == [(3, 1.0), (8, 1.0)]


@pytest.mark.parametrize("factor", [-4.0, math.nan])
def test_asynchronous_descent(factor, liars):
    policy = liars(BAD, factor)
    if math.isfinite(factor):
        clean, broken = (reached(ParameterServer(30, lr=0.03, batch_size=32), runtime=MOBILE, **m)[0]
                         for m in ({}, {"policy": policy}))  # fmt: skip
        assert clean - broken > 0.3
    else:
        with pytest.raises(fd.Diverged, match=r"node [38]"):
            reached(ParameterServer(30, lr=0.03, batch_size=32), runtime=MOBILE, policy=policy)
    for program in (
        BASGD(60, 8, Median(), lr=0.3, batch_size=32),
        BASGD(60, 16, NNM(2, TrimmedMean(2)), lr=0.3, batch_size=32),
        ZenoPlusPlus(25, lr=0.05, batch_size=32),
        FedBuff(15, 8, aggregate=TrimmedMean(2)),
    ):
        held, run = reached(program, runtime=MOBILE, policy=policy)
        assert held > 0.75, program
        assert run.suspects[0].node in BAD


def test_a_buffer_tells_whom_its_rule_left_out(liars):
    program = FedBuff(6, 8, aggregate=Krum(2), local=fd.LocalSGD(steps=2, batch_size=16))
    _, run = reached(program, runtime=MOBILE, policy=liars(BAD, 50.0))
    assert {s.node for s in run.suspects if s.distance > 5} == set(BAD)
    assert all(s.left_out == 1.0 for s in run.suspects if s.node in BAD)
    assert all(set(r.suspects) <= set(range(16)) and len(r.suspects) == 8 for r in run.history)
    # A mean has nothing to say, and takes what comes.
    _, plain = reached(FedBuff(2, 8, local=fd.LocalSGD(steps=2, batch_size=16)), runtime=MOBILE)
    assert not plain.suspects
    with pytest.raises(fd.Diverged, match=r"node [38]"):
        reached(FedBuff(6, 8), runtime=MOBILE, policy=liars(BAD, math.nan))


# -- what composes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "compress", [fd.ErrorFeedback(fd.TopK(0.2)), fd.QSGD(64), fd.Sign(), fd.Cast("float16")], ids=repr
)
def test_a_rule_joins_what_has_been_compressed(compress, liars):
    """Its two lies are left out whatever the form in which they come: the server decodes before it joins."""
    settings = {"local": fd.LocalSGD(epochs=1, batch_size=16, lr=0.1), "transforms": (compress,)}
    held, run = reached(fd.FedAvg(12, aggregate=TrimmedMean(2), **settings), policy=liars(BAD, -9.0))
    assert held > (0.3 if isinstance(compress, fd.Sign) else 0.6)
    assert set(run.history[-1].suspects) == set(range(16))


@pytest.mark.parametrize(
    "program",
    [
        fd.FedAvg(3, aggregate=Krum(0), transforms=(fd.ErrorFeedback(fd.TopK(0.2)),)),
        fd.FedAvg(3, aggregate=NNM(1, Median()), transforms=(fd.QSGD(4),)),
        FedBuff(3, 3, aggregate=Median(), transforms=(fd.QSGD(4),)),
    ],
)
def test_laws_of_rules_over_what_is_compressed(program):
    check_program(program, runtime=MOBILE, workers=(1,))


@pytest.mark.parametrize("exchange", ["ring", "tree"])
def test_a_rule_that_needs_all_vectors_goes_up_a_tree_and_not_round_a_ring(exchange):
    """Round a ring nobody ever has two nodes' vectors side by side, but partial sums; up a tree stacks are merged."""
    data = fd.data.load("iris").split(fd.data.IID(), nodes=4, seed=0)
    model = fd.Model(fd.models.mlp(4, 3))
    program = fd.FedAvg(2, aggregate=Median())
    if exchange == "ring":
        with pytest.raises(fd.BadInput, match="only adds"):
            fd.train(program, model, data, runtime=fd.Processes(exchange=exchange))
    else:
        run = fd.train(program, model, data, runtime=fd.Processes(exchange=exchange))
        here = fd.train(program, model, data)
        assert run.sha256 == here.sha256
        assert [r.suspects for r in run.history] == [r.suspects for r in here.history]
