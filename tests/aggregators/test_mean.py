"""The mean with a cap on what nodes report of their rows."""

import math

import pytest
import torch

import foedus as fd
from foedus.aggregators import Mean, Sum
from foedus.core.types.aggregator import fold
from foedus.core.types.release import release
from foedus.programs.weights import objective, share, weights
from foedus.testing import check_aggregator
from foedus.transforms import Clip

U = torch.tensor([[1.0, 0.0], [2.0, 8.0], [4.0, -8.0]])


@pytest.mark.parametrize("cap", [0.5, 2.0, 3.0, 100.0])
def test_a_capped_mean_keeps_the_laws(cap: float) -> None:
    check_aggregator(Mean(cap=cap))
    check_aggregator(Mean(cap=cap), updates=40, seed=1)
    check_aggregator(Sum(cap=cap), idempotent=False)


@pytest.mark.parametrize("reported", [[1.0, 2.0, 5.0], [1.0, 1e300, 3.0], [9.0, 9.0, 9.0]])
@pytest.mark.parametrize("cap", [1.0, 2.5, 1e3])
def test_it_is_the_mean_of_capped_weights(reported: list[float], cap: float) -> None:
    capped = [min(w, cap) for w in reported]
    assert torch.equal(Mean(cap=cap)(U, reported), Mean()(U, capped))
    assert torch.equal(Sum(cap=cap)(U, reported), Sum()(U, capped))


def test_what_nobody_exceeds_changes_no_bit() -> None:
    assert torch.equal(Mean(cap=5.0)(U, [1.0, 2.0, 5.0]), Mean()(U, [1.0, 2.0, 5.0]))


def test_the_value_of_a_sum_is_capped() -> None:
    """Nine rows that sum to 18 count as three rows of 2, beside one row of 6."""
    us = [
        fd.Update({"gradient": torch.tensor([18.0])}, 9.0, node=0, summed=True),
        fd.Update({"gradient": torch.tensor([6.0])}, 1.0, node=1, summed=True),
    ]
    assert fold(Mean(cap=3.0), us)[0]["gradient"].tolist() == [3.0]
    assert us[0]["gradient"].tolist() == [18.0]


def test_a_lie_about_rows_buys_the_cap_and_no_more() -> None:
    honest = torch.zeros(9, 1)
    lie = torch.cat([honest, torch.ones(1, 1)])
    assert Mean()(lie, [10.0] * 9 + [1e12]).item() == pytest.approx(1.0)
    assert Mean(cap=10.0)(lie, [10.0] * 9 + [1e12]).item() == pytest.approx(0.1)


def test_what_a_privacy_account_is_told() -> None:
    """One node moves the sum by the bound times the cap; without a cap nobody knows by how much."""
    assert Mean(cap=4.0).weight_range == (0.0, 4.0)
    assert release((Clip(2.0),), Mean(cap=4.0)).weight_range == (0.0, 4.0)
    assert release((Clip(2.0),), Mean()).weight_range == (0.0, math.inf)


def test_nodes_still_count_by_rows() -> None:
    assert objective(Mean(cap=20.0)) == "rows"
    assert weights(Mean(cap=20.0), [5, 10, 80], range(3)) == [5.0, 10.0, 20.0]
    assert share(Mean(cap=20.0), [5, 10, 80], [2]) == pytest.approx(20 / 35)


@pytest.mark.parametrize("cap", [0.0, -1.0, math.nan, math.inf])
def test_a_cap_is_a_positive_number(cap: float) -> None:
    with pytest.raises(fd.BadInput, match="cap, the most that a node counts"):
        Mean(cap=cap)


def test_a_mean_in_which_all_count_once_has_nothing_to_cap() -> None:
    with pytest.raises(fd.BadInput, match="nothing to cap"):
        Mean(weighted=False, cap=2.0)
