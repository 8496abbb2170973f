"""The sum of updates."""

import torch

from foedus.aggregators import Mean, Sum
from foedus.core.types.aggregator import fold
from foedus.core.types.update import Update
from foedus.testing import check_aggregator


def test_keeps_the_laws_of_aggregators() -> None:
    check_aggregator(Sum(), idempotent=False)


def test_is_the_mean_times_the_weight() -> None:
    u_KD, weights = torch.tensor([[1.0, -2.0], [3.0, 5.0], [7.0, 0.0]]), [1.0, 2.0, 4.0]
    assert torch.allclose(Sum()(u_KD, weights), Mean()(u_KD, weights) * 7)
    assert Sum()(u_KD).tolist() == [11.0, 3.0]


def test_answers_without_parts_have_a_sum_without_parts() -> None:
    assert fold(Sum(), [Update({}, 1.0), Update({}, 1.0)])[0] == {}
