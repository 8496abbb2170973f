"""Clipping about the last aggregate."""

import math

import pytest
import torch

import foedus as fd
from foedus.aggregators import CenteredClipping, Mean
from foedus.core.types.aggregator import fold, join
from foedus.core.types.update import Update
from foedus.testing import small
from foedus.transforms import WorkerMomentum

# Reference, section 6.
SEVEN = torch.tensor([[1, 2], [1.2, 1.8], [0.8, 2.2], [1.1, 2.1], [0.9, 1.9], [5, -3], [4, -2.5]])


def sent(u_KD: torch.Tensor) -> list[Update]:
    return [Update({"delta": row}, 1.0, node=n) for n, row in enumerate(u_KD)]


def test_one_step_from_zero() -> None:
    expected = torch.tensor([0.56303449, 0.48733508])
    torch.testing.assert_close(CenteredClipping(1.0)(SEVEN), expected, rtol=0, atol=1e-6)


def test_steps_and_rounds_are_the_same_iteration() -> None:
    """Three steps are three rounds with the same updates: the center is the last answer."""
    rule = CenteredClipping(0.5)
    state = rule.init({"delta": ((2,), torch.float32)})
    for _ in range(3):
        parts, state = fold(rule, sent(SEVEN), state)
    torch.testing.assert_close(parts["delta"], CenteredClipping(0.5, steps=3)(SEVEN))
    assert torch.equal(state["numbers"], parts["delta"])


def test_in_the_end_it_is_among_the_honest() -> None:
    came = CenteredClipping(0.2, steps=200)(SEVEN)
    assert float((came - SEVEN[:5].mean(0)).norm()) < 0.3


def test_what_is_within_the_radius_is_averaged() -> None:
    torch.testing.assert_close(CenteredClipping(100.0)(SEVEN), Mean()(SEVEN))


@pytest.mark.parametrize("size", [1e3, 1e10, 1e30, 3e38])
def test_what_dishonest_nodes_do_is_bounded(size: float) -> None:
    honest = torch.full((8, 4), 0.25)
    u = torch.cat([honest, torch.full((2, 4), -size)])
    came = CenteredClipping(1.0)(u)
    torch.testing.assert_close(came, (honest.sum(0) - 2 * 0.5) / 10)


def test_what_was_clipped_is_told() -> None:
    said = join(CenteredClipping(2.0), sent(torch.tensor([[1.0, 0.0], [0.0, 8.0], [0.0, 0.0]])))[2]
    assert [s.left_out for s in said.values()] == pytest.approx([0.0, 0.75, 0.0])


def test_buffers_have_a_center_of_their_own() -> None:
    rule = CenteredClipping(1.0)
    us = [Update({"delta": row, "buffers": 3 * row[:1]}, 1.0, node=n) for n, row in enumerate(SEVEN)]
    parts, state = fold(rule, us, rule.init({"delta": ((2,), torch.float32), "buffers": ((1,), torch.float32)}))
    assert torch.equal(state["numbers"], parts["delta"])
    assert torch.equal(state["buffers"], parts["buffers"])


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan, math.inf])
def test_a_radius_is_a_positive_number(radius: float) -> None:
    with pytest.raises(fd.BadInput, match="radius must be a positive number"):
        CenteredClipping(radius)
    with pytest.raises(fd.BadInput, match="steps must be at least 1"):
        CenteredClipping(1.0, steps=0)


def test_a_stopped_run_goes_on_about_its_center() -> None:
    problem = small(4)
    program = fd.SyncSGD(4, lr=0.5, aggregate=CenteredClipping(0.3), transforms=(WorkerMomentum(0.9),))
    whole = fd.train(program, problem.model, problem.data)
    half = fd.train(program, problem.model, problem.data, stop=fd.AfterCommits(2))
    assert fd.train(program, problem.model, problem.data, resume=half).sha256 == whole.sha256
    alone = fd.train(fd.SyncSGD(4, lr=0.5), problem.model, problem.data)
    assert alone.sha256 != whole.sha256
