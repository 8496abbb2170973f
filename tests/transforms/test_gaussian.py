"""Gaussian noise: how much, where, and from whose secret."""

import math

import pytest
import torch

import foedus as fd
from foedus.transforms import Gaussian

N = 100_000


def _noise(std: float = 0.5, n: int = N, **fields) -> torch.Tensor:
    u = fd.Update({"delta": torch.zeros(n), "buffers": torch.ones(3)}, fields.pop("weight", 1.0), **fields)
    sent, state = Gaussian(std).encode(u, {}, fd.Key(0))
    assert sent["buffers"].tolist() == [1.0] * 3
    assert not state
    return sent["delta"]


def test_the_noise_is_normal() -> None:
    """Bounds of six standard errors: the secret cannot be seeded, and a test should fail once in 10^8 runs."""
    z = _noise().double() / 0.5
    assert abs(float(z.mean())) < 6 / math.sqrt(N)
    assert abs(float(z.var()) - 1) < 6 * math.sqrt(2 / N)
    for limit, inside in ((1.0, 0.682689), (2.0, 0.954500), (3.0, 0.997300)):
        came = float((z.abs() < limit).double().mean())
        assert abs(came - inside) < 6 * math.sqrt(inside * (1 - inside) / N)
    half = N // 2  # the two of a pair are independent, and so are neighbours
    assert abs(float((z[:half] * z[half:]).mean())) < 6 / math.sqrt(half)
    assert abs(float((z[1:] * z[:-1]).mean())) < 6 / math.sqrt(N)


def test_the_seed_says_nothing_of_it() -> None:
    assert not torch.equal(_noise(n=8), _noise(n=8))


def test_a_sum_over_rows_gets_the_noise_of_its_mean() -> None:
    """Per unit of weight the deviation is the same."""
    z = _noise(std=0.5, weight=20.0, summed=True).double() / 20
    assert abs(float(z.std()) / 0.5 - 1) < 6 / math.sqrt(2 * N)


def test_no_noise_changes_nothing() -> None:
    assert not _noise(std=0.0).any()
    assert _noise(n=0).shape == (0,)
    assert _noise(n=1).shape == (1,)


@pytest.mark.parametrize("std", [-1.0, math.nan, math.inf])
def test_a_deviation_that_is_none_is_refused(std: float) -> None:
    with pytest.raises(fd.BadInput, match="non-negative"):
        Gaussian(std)
