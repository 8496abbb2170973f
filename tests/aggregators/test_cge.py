"""The mean of the shortest updates."""

import torch

from foedus.aggregators import CGE


def test_the_longest_are_left_out() -> None:
    u = torch.tensor([[3.0, 4.0], [0.0, 1.0], [-300.0, 400.0], [2.0, 0.0], [6.0, 8.0]])
    torch.testing.assert_close(CGE(2)(u), torch.full((2,), 5 / 3))
    torch.testing.assert_close(CGE(0)(u), u.mean(0))


def test_of_equally_long_ones_the_first_count() -> None:
    u = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert CGE(1)(u).tolist() == [0.5, 0.5]
    assert CGE(1)(u.flip(0)).tolist() == [-0.5, 0.5]


def test_lengths_that_overflow_float32_are_lengths() -> None:
    u = torch.tensor([[3e38, 3e38], [2e38, 2e38], [1e38, 1e38]])
    assert torch.allclose(CGE(1)(u), torch.tensor([1.5e38, 1.5e38]))
