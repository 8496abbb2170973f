"""Mean, median and trimmed mean: their laws, the published vectors, and what they refuse."""

import math
from dataclasses import dataclass

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus import aggregators as rules
from foedus.core.types.aggregator import MAX_BLOCKS, MergeTree, blocks, fold
from foedus.testing import check_aggregator, small

# Reference, section 6: five honest updates and two that are not.
SEVEN = torch.tensor([[1, 2], [1.2, 1.8], [0.8, 2.2], [1.1, 2.1], [0.9, 1.9], [5, -3], [4, -2.5]])


@pytest.mark.parametrize(
    ("rule", "exact"),
    [
        (fd.Mean(), False),
        (fd.Mean(weighted=False), False),
        (fd.Median(), True),
        (fd.TrimmedMean(f=1), True),
        (fd.TrimmedMean(f=5), True),
    ],
    ids=str,
)
def test_rules_keep_their_laws(rule, exact: bool) -> None:
    check_aggregator(rule, exact=exact)
    check_aggregator(rule, exact=exact, updates=40, seed=1)  # more than there are blocks


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (fd.Mean(), (2.0, 4.5 / 7)),
        (fd.Median(), (1.1, 1.9)),
        (fd.TrimmedMean(f=2), (1.1, 1.9)),
        (fd.TrimmedMean(f=1), (1.64, 1.06)),
        (fd.TrimmedMean(f=0), (2.0, 4.5 / 7)),
        (fd.TrimmedMean(f=3), (1.1, 1.9)),
        (rules.GeometricMedian(), (1.04698893, 1.93420649)),
        (rules.RFA(steps=200), (1.04698893, 1.93420649)),
        (rules.Krum(f=2), (1.0, 2.0)),
        (rules.MultiKrum(f=2), (1.0, 2.0)),
        (rules.MultiKrum(f=2, m=5), (1.0, 2.0)),
        (rules.MDA(f=2), (1.0, 2.0)),
        (rules.Bulyan(f=1), (1.1, 1.9)),
        (rules.MeaMed(f=2), (1.0, 2.0)),
        (rules.NNM(f=2), (1.40571429, 1.44)),
        (rules.NNM(f=2, then=rules.MeaMed(f=2)), (1.0, 2.0)),
    ],
    ids=str,
)
def test_seven_updates(rule, expected: tuple[float, float]) -> None:
    before = SEVEN.clone()
    torch.testing.assert_close(rule(SEVEN), torch.tensor(expected), rtol=0, atol=1e-6)
    assert torch.equal(before, SEVEN)


def test_median_of_an_even_number_is_the_middle() -> None:
    assert fd.Median()(torch.tensor([[4.0], [1.0], [100.0], [2.0]])).tolist() == [3.0]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**31))
def test_rules_are_those_of_numpy(k: int, d: int, seed: int) -> None:
    u = torch.from_numpy(np.random.default_rng(seed).normal(size=(k, d)).astype(np.float32))
    w = np.random.default_rng(seed + 1).integers(1, 9, k)
    for came, expected in (
        (fd.Mean()(u, w.tolist()), np.average(u.numpy(), axis=0, weights=w)),
        (fd.Median()(u), np.median(u.numpy(), axis=0)),
        (fd.Median()(u, w.tolist()), np.median(u.numpy(), axis=0)),  # weights can be lies
    ):
        np.testing.assert_allclose(came.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("f", "k"), [(1, 2), (2, 4), (3, 6)])
def test_too_few_updates_are_refused(f: int, k: int) -> None:
    with pytest.raises(fd.BadInput, match=f"at least {2 * f + 1}"):
        fd.TrimmedMean(f=f)(torch.zeros(k, 2))
    fd.TrimmedMean(f=f)(torch.zeros(k + 1, 2))
    # Those that are not finite do not count.
    with pytest.raises(fd.BadInput, match=f"at least {2 * f + 1}"):
        fd.TrimmedMean(f=f)(torch.cat([torch.zeros(k, 2), torch.full((1, 2), math.nan)]))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(fd.BadInput, match="from 0 up"):
        fd.TrimmedMean(f=-1)
    with pytest.raises(fd.BadInput, match="positive sum"):
        fd.Mean()(torch.ones(2, 1), [0.0, 0.0])


@pytest.mark.parametrize("rule", [fd.Median(), fd.TrimmedMean(f=1)], ids=str)
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_robust_rules_drop_what_is_not_finite(rule, poison: float) -> None:
    bad = torch.cat([SEVEN[:3], torch.tensor([[1.0, poison]]), SEVEN[3:]])
    assert torch.equal(rule(bad), rule(SEVEN))


@pytest.mark.parametrize("rule", [fd.Median(), fd.TrimmedMean(f=2)], ids=str)
@pytest.mark.parametrize("place", range(7))
def test_the_honest_vector_survives_two_liars(rule, place: int) -> None:
    u = torch.tensor([[0.3, -7.0]]).repeat(7, 1)
    u[place] = 1e20
    u[(place + 3) % 7] = -1e20
    assert torch.equal(rule(u), torch.tensor([0.3, -7.0]))


def test_large_vectors_are_reduced_in_pieces() -> None:
    u = torch.randn(5, 300_003, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fd.Median()(u), u.median(0).values)


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(1, 40))
def test_blocks_cover_the_cohort_in_order(cohort: int, most: int) -> None:
    found = blocks(cohort, most)
    assert [p for b in found for p in b] == list(range(cohort))
    assert len(found) == min(cohort, most)
    assert not found or max(map(len, found)) - min(map(len, found)) <= 1


def test_few_nodes_are_a_block_each() -> None:
    assert [len(b) for b in blocks(10)] == [1] * 10
    assert len(blocks(1000)) == MAX_BLOCKS == 32


@settings(deadline=None)
@given(st.integers(1, 40), st.sets(st.integers(0, 39)))
def test_the_tree_depends_on_the_number_of_blocks_alone(n: int, missing: set[int]) -> None:
    """Whose block gave nothing leaves its place empty, and moves no other."""

    def up(names: list[str | None]) -> str | None:
        if len(names) == 1:
            return names[0]
        left = 1 << (len(names) - 1).bit_length() - 1
        a, b = up(names[:left]), up(names[left:])
        return f"({a}{b})" if a and b else a or b

    names = [None if i in missing else f"<{i}>" for i in range(n)]
    tree = MergeTree(lambda a, b: f"({a}{b})")
    for name in names:
        tree.push(name)
    assert tree.result() == up(names)


def test_summed_updates_are_divided_once() -> None:
    """Three rows of one and one row of nine: the mean of the rows is three, that of the nodes' means five."""
    us = [
        fd.Update({"gradient": torch.tensor([3.0])}, 3, {}, 0, summed=True),
        fd.Update({"gradient": torch.tensor([9.0])}, 1, {}, 1, summed=True),
    ]
    fresh = [u.with_parts({"gradient": u["gradient"].clone()}) for u in us]
    assert fold(fd.Mean(), fresh)[0]["gradient"].tolist() == [3.0]
    assert fold(fd.Mean(weighted=False), us)[0]["gradient"].tolist() == [5.0]


LARGE = torch.tensor([[3e38, -1e38, 1.0], [3.4e38, 3e38, 2.0], [3e38, 2e38, 3.0], [3.2e38, 3e38, 6.0]])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (fd.Mean(), (3.22e38, 2.5e38, 4.0)),
        (fd.Mean(weighted=False), (3.15e38, 1.75e38, 3.0)),
        (fd.Median(), (3.1e38, 2.5e38, 2.5)),
        (fd.TrimmedMean(f=1), (3.1e38, 2.5e38, 2.5)),
        (fd.TrimmedMean(f=0), (3.15e38, 1.75e38, 3.0)),
    ],
    ids=str,
)
def test_a_mean_of_large_numbers_is_finite_and_leaves_the_others_as_they_are(rule, expected) -> None:
    weights = [1.0, 3.0, 1.0, 5.0]
    got = rule(LARGE, weights)
    torch.testing.assert_close(got, torch.tensor(expected), rtol=1e-6, atol=0)
    assert torch.equal(got[2:], rule(LARGE[:, 2:], weights))
    assert not math.isfinite(fd.Mean()(torch.tensor([[1.0], [math.inf]])).item())  # what is infinite stays so


def test_weights_beyond_float64_are_refused() -> None:
    with pytest.raises(fd.BadInput, match="finite, positive sum"):
        fd.Mean()(torch.ones(2, 1), [1.7e308, 1.7e308])


@pytest.mark.parametrize("until", [fd.All(), fd.All("skip")], ids=lambda u: u.failure)
def test_the_sum_over_a_round_that_overflows_is_said(until) -> None:
    @dataclass(frozen=True)
    class Large(fd.LocalSGD):
        def __call__(self, node, args):
            u, state = fd.LocalSGD.__call__(self, node, args)
            # Node 3 is to blame for nothing where it is left out.
            value = math.nan if node.id == 3 and until.failure == "skip" else 3e38
            return u.with_parts({k: torch.full_like(v, value) for k, v in u.parts.items()}), state

    problem = small(4)
    with pytest.raises(fd.Diverged, match=r"sum of the updates overflowed in round 1, although each is finite"):
        fd.train(fd.FedAvg(rounds=1, local=Large(), until=until), problem.model, problem.data)
