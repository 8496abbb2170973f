"""What robust rules have in common: one vector of all numbers, nodes in order, who is dropped and who is suspected."""

import math
import tracemalloc
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.aggregators import (
    MDA,
    NNM,
    RFA,
    Bucketing,
    Bulyan,
    GeometricMedian,
    Krum,
    MeaMed,
    Median,
    MultiKrum,
    Rule,
    TrimmedMean,
)
from foedus.aggregators.rule import Joined
from foedus.core.types.aggregator import fold
from foedus.testing import check_aggregator, small

RULES = [
    Median(),
    TrimmedMean(2),
    GeometricMedian(),
    GeometricMedian(smoothing=0.1),
    RFA(),
    Krum(2),
    MultiKrum(2),
    Bulyan(2),
    MDA(2),
    MeaMed(2),
    NNM(2),
    NNM(2, then=Krum(2)),
    Bucketing(2, then=Median()),
    Bucketing(1, then=NNM(2, then=TrimmedMean(2))),
]


def updates(u, parts=("delta",), order=None):
    nodes = range(len(u)) if order is None else order
    return [fd.Update(dict(zip(parts, u[i].tensor_split(len(parts)), strict=True)), 1.0 + i, node=i) for i in nodes]


def judged(rule, us):
    acc = rule.empty()
    for u in us:
        acc = rule.add(acc, u)
    return rule.judge(acc, None)


def normal(k=11, d=9, seed=0):
    return torch.randn(k, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_rules_keep_their_laws(rule) -> None:
    check_aggregator(rule, symmetric=not isinstance(rule, MDA | Bulyan | Bucketing))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_order_in_which_nodes_answer_makes_no_difference_to_a_bit(rule) -> None:
    us = updates(normal())
    expected = fold(rule, us)[0]["delta"]
    for order in ([10, 3, 0, 7, 1, 9, 2, 8, 4, 6, 5], range(10, -1, -1)):
        assert torch.equal(fold(rule, [us[i] for i in order])[0]["delta"], expected)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_all_numbers_are_one_vector_and_buffers_are_another(rule) -> None:
    """Distances are those of whole updates: not part by part, and not with buffers."""
    u, buffers = normal(), normal(seed=1)
    whole, alone = fold(rule, updates(u))[0]["delta"], fold(rule, updates(buffers, ("buffers",)))[0]["buffers"]
    us = [
        fd.Update({"delta": a[:4].view(2, 2), "buffers": b, "control": a[4:]}, 1.0, node=i)
        for i, (a, b) in enumerate(zip(u, buffers, strict=True))
    ]
    parts = fold(rule, us)[0]
    assert list(parts) == ["delta", "buffers", "control"]
    torch.testing.assert_close(torch.cat([parts["delta"].flatten(), parts["control"]]), whole)
    assert torch.equal(parts["buffers"], alone)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_two_far_attackers_are_suspected_and_those_that_are_not_finite_are_named(rule) -> None:
    u = normal(13, 40)
    u[4] += 30
    u[9] -= 25
    us = updates(u)
    us.append(fd.Update({"delta": torch.full((40,), math.nan)}, 1.0, node=77))
    parts, _, suspicions = judged(rule, us)
    assert torch.equal(parts["delta"], fold(rule, us)[0]["delta"])
    assert sorted(suspicions) == [*range(13), 77]
    assert suspicions[77] == (1.0, math.inf)
    left_out = {node: s.left_out for node, s in suspicions.items()}
    assert all(0 <= v <= 1 for v in left_out.values())
    honest = [n for n in range(13) if n not in (4, 9)]
    if not isinstance(rule, Bucketing):  # whose buckets are suspected as one
        assert min(left_out[4], left_out[9]) >= max(left_out[n] for n in honest)
        assert min(left_out[4], left_out[9]) > sum(left_out[n] for n in honest) / len(honest)
        assert min(suspicions[4].distance, suspicions[9].distance) > 3
    assert min(suspicions[4].distance, suspicions[9].distance) > max(suspicions[n].distance for n in honest)


def test_what_is_left_out_is_counted_by_coordinate() -> None:
    u = torch.tensor([[0.0, 5, 1, 1], [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3], [9, 4, 4, 1]])
    _, _, suspicions = judged(TrimmedMean(1), updates(u))
    assert [s.left_out for s in suspicions.values()] == [0.5, 0.25, 0, 0.25, 0.5]
    _, _, suspicions = judged(MultiKrum(1), updates(u))
    assert [s.left_out for s in suspicions.values()] == [0, 0, 0, 0, 1]


def test_equal_updates_are_equally_far() -> None:
    for rule in RULES:
        _, _, suspicions = judged(rule, updates(torch.ones(11, 4)))
        assert {s.distance for s in suspicions.values()} in ({0.0}, {1.0})  # 1: of what rounding left


def test_nothing_given_is_changed_and_kinds_of_numbers_stay() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        u = normal().to(dtype)
        for rule in RULES:
            before = u.clone()
            assert rule(u).dtype is dtype
            assert torch.equal(u, before)
    assert Median()(torch.tensor([[1, 2], [3, 4], [5, 7]])).tolist() == [3, 4]
    assert Median()(torch.ones(3, 2, 2)).shape == (2, 2)
    assert Median()(torch.ones(3, 0)).shape == (0,)
    turned = normal(9, 11).T  # columns lie side by side
    for rule in RULES:
        torch.testing.assert_close(rule(turned), rule(turned.contiguous()))
    for rule in RULES:
        with pytest.raises(fd.BadInput, match="finite updates; got 0"):
            rule(torch.ones(0, 3))


def test_weights_are_ignored_but_counted() -> None:
    assert torch.equal(Krum(1)(normal(6), [1.0] * 5 + [1e300]), Krum(1)(normal(6)))
    with pytest.raises(fd.BadInput, match="6 updates have 2 weights"):
        Krum(1)(normal(6), [1.0, 2.0])


def test_sums_that_overflow_are_made_in_float64() -> None:
    u = torch.full((7, 3), 3e38)
    for rule in (MultiKrum(1), MDA(1), MeaMed(1), GeometricMedian(), RFA(), NNM(1), Bucketing(2, then=Median())):
        torch.testing.assert_close(rule(u), u[0])


@pytest.mark.parametrize("rule", [Median(), Krum(2), GeometricMedian(), NNM(2, then=Median()), Bulyan(2)], ids=str)
def test_no_rule_holds_more_than_two_stacks(rule) -> None:
    """Its input, which the caller holds here, and one more; blocks in caches beside them."""
    k, d = 11, 400_000
    stack, blocks = k * d * 4, 16 * 2**20
    u = normal(k, d)
    peak = _peak(lambda: rule(u))
    assert peak < stack + blocks
    if isinstance(rule, NNM):
        assert peak > stack  # the measurement sees tensors


def _peak(call) -> int:
    """The most bytes that tensors and arrays made in the call held at once."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        tracemalloc.start()
        call()
        arrays = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    held = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most + arrays


@dataclass(frozen=True)
class Remembers(Rule):
    """The mean, and how often it was asked."""

    @property
    def breakdown(self) -> str:
        return "none"

    def begin(self, d):
        return {"asked": 0, "numbers": d}

    def step(self, u_KD, nodes, state):
        return Joined(u_KD.mean(0), torch.zeros(len(u_KD))), state | {"asked": state["asked"] + 1}


def test_what_a_rule_remembers_goes_from_call_to_call_by_vector() -> None:
    shapes = {"delta": ((4,), torch.float32), "buffers": ((2,), torch.float32), "control": ((3,), torch.float32)}
    for rule in (Remembers(), NNM(1, then=Remembers())):
        state = rule.init(shapes)
        for _ in range(3):
            us = [fd.Update({n: torch.ones(s) for n, (s, _) in shapes.items()}, 1.0, node=i) for i in range(4)]
            _, state = fold(rule, us, state)
        inner = state if isinstance(rule, Remembers) else {n: s["then"] for n, s in state.items()}
        assert inner == {"numbers": {"asked": 3, "numbers": 7}, "buffers": {"asked": 3, "numbers": 2}}


@pytest.mark.parametrize("rule", [Bucketing(2, then=Median()), NNM(2, then=TrimmedMean(2)), Krum(1)], ids=str)
def test_a_run_has_the_same_bits_with_any_workers_and_after_a_stop(rule) -> None:
    problem = small(7)
    program = fd.FedAvg(rounds=4, aggregate=rule, local=fd.LocalSGD(epochs=1, batch_size=8, lr=0.1))
    alone = fd.train(program, problem.model, problem.data, runtime=fd.Simulation(workers=2))
    stopped = fd.train(program, problem.model, problem.data, stop=fd.AfterCommits(2))
    assert fd.train(program, problem.model, problem.data, resume=stopped).sha256 == alone.sha256
    assert alone.history[-1].loss < alone.history[0].loss
