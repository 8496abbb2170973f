"""Nearest-neighbour mixing and bucketing."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.aggregators import NNM, Bucketing, Krum, Median, TrimmedMean
from foedus.core.types.aggregator import fold


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3), st.integers(0, 4), st.integers(1, 6), st.booleans(), st.integers(0, 2**31))
def test_mixing_is_its_definition(f: int, more: int, d: int, whole: bool, seed: int) -> None:
    random, n = np.random.default_rng(seed), 2 * f + 1 + more
    u = random.integers(-2, 3, (n, d)).astype(float) if whole else random.normal(size=(n, d))  # whole: many ties
    mixed = []
    for i in range(n):
        far = ((u - u[i]) ** 2).sum(1)
        others = sorted((j for j in range(n) if j != i), key=lambda j: (far[j], j))
        mixed.append(u[[i, *others[: n - f - 1]]].mean(0))
    np.testing.assert_allclose(NNM(f).mix(torch.from_numpy(u)).numpy(), mixed, rtol=1e-12, atol=1e-12)
    then = TrimmedMean(f)
    torch.testing.assert_close(NNM(f, then=then)(torch.from_numpy(u)), then(torch.from_numpy(np.array(mixed))))


def test_every_update_is_in_one_bucket_and_the_last_bucket_holds_the_rest() -> None:
    u = torch.eye(7)
    buckets = Bucketing(3).mix(u)
    assert (buckets > 0).sum(0).tolist() == [1] * 7
    assert (buckets > 0).sum(1).tolist() == [3, 3, 1]
    torch.testing.assert_close(buckets.sum(1), torch.ones(3))
    assert torch.equal(Bucketing(1).mix(u).sort(0).values, u.sort(0).values)


def test_rounds_and_seeds_have_orders_of_their_own_that_can_be_had_again() -> None:
    us = [fd.Update({"delta": torch.tensor([float(2**i)])}, 1.0, node=i) for i in range(9)]

    def rounds(seed: int) -> list[float]:
        rule, answers = Bucketing(3, then=Median(), seed=seed), []
        state = rule.init({"delta": ((1,), torch.float32)})
        for _ in range(6):
            parts, state = fold(rule, us, state)
            answers.append(float(parts["delta"]))
        return answers

    assert rounds(0) == rounds(0) != rounds(1)
    assert len(set(rounds(0))) > 2


def test_buckets_count_as_updates_of_the_rule_that_joins_them() -> None:
    rule = Bucketing(3, then=Krum(1))  # of 5 buckets at least
    assert rule.least() == 13
    rule(torch.randn(13, 2))
    with pytest.raises(fd.BadInput, match=r"needs n >= 2f \+ 3 of n buckets, at least 13 finite updates; got 12"):
        rule(torch.randn(12, 2))


def test_the_inner_rule_says_what_it_needs() -> None:
    with pytest.raises(fd.BadInput, match=r"^Krum\(f=3\) needs n >= 2f \+ 3, at least 9 finite updates; got 8"):
        NNM(1, then=Krum(3))(torch.randn(8, 2))
    with pytest.raises(fd.BadInput, match=r"^NNM\(f=4.* needs n >= 2f \+ 1, at least 9 finite updates; got 8"):
        NNM(4, then=Median())(torch.randn(8, 2))


@pytest.mark.parametrize("then", [Median, None, 3], ids=str)
def test_then_must_be_an_aggregator(then) -> None:
    for make in (lambda: NNM(1, then=then), lambda: Bucketing(2, then=then)):
        with pytest.raises(fd.BadInput, match=r"must be an aggregator such as Median\(\)"):
            make()
    with pytest.raises(fd.BadInput, match="size, the updates in a bucket"):
        Bucketing(0)
