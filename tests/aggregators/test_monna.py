"""The mean of the updates nearest to a node that is trusted."""

import pytest
import torch

import foedus as fd
from foedus.aggregators import MoNNA
from foedus.core.types.aggregator import fold
from foedus.core.types.update import Update

U = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]])


@pytest.mark.parametrize(("pivot", "expected"), [(0, 1.0), (2, 1.0), (3, 23 / 3), (4, 23 / 3)])
def test_it_is_the_mean_of_those_nearest_to_the_pivot(pivot: int, expected: float) -> None:
    assert MoNNA(2, pivot)(U).tolist() == [pytest.approx(expected)]


def test_the_pivot_is_a_node_and_not_a_place() -> None:
    """Of a cohort it is found by its id, in whatever order answers came."""
    us = [Update({"delta": u}, 1.0, node=n) for u, n in zip(U, (40, 7, 12, 3, 9), strict=True)]
    assert fold(MoNNA(2, pivot=3), us)[0]["delta"].tolist() == [pytest.approx(23 / 3)]
    assert fold(MoNNA(2, pivot=40), us)[0]["delta"].tolist() == [1.0]


def test_of_equally_near_ones_those_with_the_lowest_ids_count() -> None:
    assert MoNNA(1, pivot=1)(torch.tensor([[-1.0], [0.0], [1.0]])).tolist() == [-0.5]


def test_without_its_pivot_it_says_so() -> None:
    us = [Update({"delta": u}, 1.0, node=n) for n, u in enumerate(U)]
    with pytest.raises(fd.BadInput, match="no finite one of node 7: ask it in every round"):
        fold(MoNNA(1, pivot=7), us)
    with pytest.raises(fd.BadInput, match="no finite one of node 0"):
        fold(MoNNA(1), [us[0].with_parts({"delta": torch.tensor([float("nan")])}), *us[1:]])
    with pytest.raises(fd.BadInput, match="pivot is the id of a node"):
        MoNNA(1, pivot=-1)
