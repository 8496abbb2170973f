"""Dirichlet: from nearly alike to nearly one label a node, and no node ever empty."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import BadInput
from foedus.data import Dirichlet, arrays
from foedus.data.partitions.dirichlet import _drawn, _mended
from foedus.data.partitions.partition import proportions


def dataset(y):
    return arrays(torch.zeros(len(y), 1), y)


def counts(y, partition, nodes, seed=0):
    return torch.tensor(dataset(y).split(partition, nodes, seed).label_counts())


def distance(count):
    """Mean total variation between the nodes' label histograms and the global one."""
    share = count / count.sum(1, keepdim=True)
    return float((share - count.sum(0) / count.sum()).abs().sum(1).mean() / 2)


UNEVEN = torch.repeat_interleave(torch.arange(5), torch.tensor([4000, 3000, 1500, 1000, 500]))


def test_histograms_go_to_the_global_one_as_alpha_grows():
    far = [distance(counts(UNEVEN, Dirichlet(a), 20)) for a in (0.01, 0.1, 1, 10, 100, 1000, 1e4)]
    assert far == sorted(far, reverse=True)
    assert far[0] > 0.5
    assert far[-1] < 0.02
    # Proportions deviate like 1/sqrt(alpha), so a hundredfold alpha is about ten times as close.
    assert 6 < far[3] / far[5] < 16


@pytest.mark.parametrize("nodes", [3, 7, 20, 64])
@pytest.mark.parametrize("alpha", [1e12, 1e300])
def test_in_the_limit_every_node_has_its_share_of_every_class_to_a_row(nodes, alpha):
    count = counts(UNEVEN, Dirichlet(alpha), nodes)
    assert (count - torch.bincount(UNEVEN) / nodes).abs().max() < 1 + 1e-3
    assert (count.sum(1) - len(UNEVEN) / nodes).abs().max() < 1 + 1e-3  # what rounding takes it gives back


@pytest.mark.parametrize("alpha", [1e-3, 1e-30, 1e-300, 5e-324])
def test_a_tiny_alpha_ends_and_gives_almost_every_class_to_one_node(alpha):
    count = counts(torch.arange(10).repeat_interleave(200), Dirichlet(alpha, min_rows=5), 10)
    assert count.sum() == 2000
    assert count.sum(1).min() >= 5
    assert (count.max(0).values >= 100).all()  # up to what mending took


def test_balance_closes_a_node_that_has_its_part():
    y = torch.arange(50).repeat_interleave(40)
    for seed in range(5):
        sizes = counts(y, Dirichlet(0.05), 10, seed).sum(1)
        assert sizes.max() < 200 + 40  # open below 200, and then one class more
        assert sizes.max() - sizes.min() > 20  # and still uneven


def test_a_class_is_divided_by_a_dirichlet_draw():
    # One class, before anything closes: variance of a Dirichlet(a) share of K nodes is (1/K)(1-1/K)/(K a + 1).
    random, nodes, alpha = np.random.default_rng(0), 8, 0.5
    shares = np.array([proportions(np.ones(nodes, dtype=bool), alpha, random) for _ in range(4000)])
    assert np.allclose(shares.sum(1), 1)
    assert shares.mean(0) == pytest.approx(np.full(nodes, 1 / nodes), abs=0.012)
    assert shares.var(0).mean() == pytest.approx((1 / 8) * (7 / 8) / (8 * 0.5 + 1), rel=0.05)


def test_closed_nodes_get_no_share():
    share = proportions(np.array([True, False, True]), 0.3, np.random.default_rng(0))
    assert share[1] == 0
    assert share.sum() == pytest.approx(1)


@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=25), min_rows=st.integers(1, 6), seed=st.integers(0, 9))
def test_mending_takes_one_row_after_the_other_from_the_largest(sizes, min_rows, seed):
    nodes = len(sizes)
    if sum(sizes) < nodes * min_rows:
        return
    before = np.repeat(np.arange(nodes), sizes)
    after = _mended(before, nodes, min_rows, np.random.default_rng(seed))
    expected = list(sizes)  # the same, said slowly
    while min(expected) < min_rows:
        expected[expected.index(max(expected))] -= 1
        expected[expected.index(min(expected))] += 1
    assert sorted(np.bincount(after, minlength=nodes).tolist()) == sorted(expected)
    kept = [k for k in range(nodes) if sizes[k] < min_rows]
    assert all((after[before == k] == k).all() for k in kept)  # who has too little gives nothing
    assert len(before) - int((before == after).sum()) == sum(max(min_rows - s, 0) for s in sizes)


def test_mending_does_not_give_away_the_first_rows_only():
    before = np.zeros(100, dtype=np.int64)
    after = _mended(before, 2, 50, np.random.default_rng(0))
    moved = np.flatnonzero(after)
    assert len(moved) == 50
    assert 10 < (moved < 50).sum() < 40


def test_as_many_rows_as_are_asked_for_in_all():
    count = counts(torch.arange(4).repeat(25), Dirichlet(0.1, min_rows=10), 10)
    assert count.sum(1).tolist() == [10] * 10


def test_classes_without_a_row_change_nothing():
    y = torch.tensor([0, 2] * 50)
    assert counts(y, Dirichlet(1.0), 5).sum(0).tolist() == [50, 0, 50]


def test_no_class_is_always_the_first():
    # Two nodes and whole classes. The large class first closes its node, so the small one goes to the other; the small
    # class first closes nothing, so they meet half the time. In random order: a quarter of the time.
    y = np.repeat([0, 1], [10, 90])
    random = np.random.default_rng(0)
    together = [len(set(_drawn(y, 2, 1e-6, random).tolist())) == 1 for _ in range(1000)]
    assert np.mean(together) == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf"), True, "1"])
def test_bad_alpha(alpha):
    with pytest.raises(BadInput, match=rf"Dirichlet: alpha must be a finite number above 0, got {alpha!r}"):
        Dirichlet(alpha)


@pytest.mark.parametrize("min_rows", [0, -2, 1.5, False])
def test_bad_min_rows(min_rows):
    with pytest.raises(BadInput, match=f"Dirichlet: min_rows must be a positive integer, got {min_rows}"):
        Dirichlet(0.3, min_rows=min_rows)


def test_too_few_rows_for_the_minimum():
    message = "Dirichlet cannot give 4 nodes at least 3 rows each: the data has 10 rows, enough for 3 nodes"
    with pytest.raises(BadInput, match=message):
        dataset(torch.arange(10) % 2).split(Dirichlet(1.0, min_rows=3), nodes=4)
