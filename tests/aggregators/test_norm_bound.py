"""Norm bounding: static clipping before any rule."""

import math

import pytest
import torch

import foedus as fd
from foedus.aggregators import Mean, Median, NormBound, TrimmedMean
from foedus.aggregators.clipping import shortening
from foedus.core.types.aggregator import join
from foedus.core.types.update import Update
from foedus.transforms import Clip

U = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [-60.0, 80.0]])


def test_what_is_longer_is_shortened_and_what_is_not_stays() -> None:
    assert NormBound(1.0)(U).tolist() == pytest.approx([(0.6 + 0.3 - 0.6) / 4, (0.8 + 0.4 + 0.8) / 4])
    assert torch.equal(NormBound(100.0)(U), Mean()(U))
    assert torch.equal(NormBound(100.0, then=Median())(U), Median()(U))
    assert NormBound(5.0, then=TrimmedMean(1))(U).tolist() == pytest.approx([0.15, 2.2])


def test_it_does_at_the_coordinator_what_clip_asks_nodes_to_do() -> None:
    u = torch.randn(6, 9, generator=torch.Generator().manual_seed(0))
    clipped = [Clip(1.5).encode(Update({"delta": row}, 1.0), {}, fd.Key(0))[0]["delta"] for row in u]
    torch.testing.assert_close(NormBound(1.5)(u), torch.stack(clipped).mean(0))


def test_what_it_takes_away_is_told() -> None:
    us = [Update({"delta": row}, 1.0, node=n) for n, row in enumerate(U)]
    said = join(NormBound(1.0), us)[2]
    assert [s.left_out for s in said.values()] == pytest.approx([0.8, 0.0, 0.0, 0.99])
    said = join(NormBound(1.0, then=TrimmedMean(1)), us)[2]
    assert said[3].left_out == pytest.approx(1 - 0.01 * 0.5)  # and trimmed at one of two coordinates


def test_factors() -> None:
    lengths = torch.tensor([0.0, 0.5, 1.0, 4.0, 1e60], dtype=torch.float64)
    assert shortening(lengths, 1.0).tolist() == pytest.approx([1.0, 1.0, 1.0, 0.25, 1e-60], rel=1e-9, abs=0)
    assert shortening(lengths, 0.0).tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan, math.inf])
def test_a_bound_is_a_positive_number(bound: float) -> None:
    with pytest.raises(fd.BadInput, match="bound must be a positive number"):
        NormBound(bound)


def test_what_joins_afterwards_is_an_aggregator_and_has_its_own_needs() -> None:
    with pytest.raises(fd.BadInput, match="must be an aggregator such as Median"):
        NormBound(1.0, then=Median)  # type: ignore[arg-type]
    with pytest.raises(fd.BadInput, match=r"TrimmedMean\(f=2\) needs n >= 2f \+ 1"):
        NormBound(1.0, then=TrimmedMean(2))(U)
