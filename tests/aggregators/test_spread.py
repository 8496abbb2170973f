"""Inner products about a mean, and the largest variance, from squared distances alone."""

import numpy as np
import pytest
import torch

from foedus.aggregators.gram import squared_distances
from foedus.aggregators.spread import about_mean, widest


def drawn(k: int = 7, d: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(k, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_inner_products_about_a_mean() -> None:
    u, share = drawn(), torch.tensor([0.1, 0.2, 0.0, 0.3, 0.1, 0.1, 0.2], dtype=torch.float64)
    off = u - share @ u
    torch.testing.assert_close(about_mean(squared_distances(u), share), off @ off.T)


@pytest.mark.parametrize("d", [1, 3, 40])
def test_the_largest_variance_is_that_of_the_covariance(d: int) -> None:
    u = drawn(d=d)
    expected = np.linalg.eigvalsh(np.cov(u.numpy().T, bias=True).reshape(d, d)).max()
    assert float(widest(squared_distances(u))) == pytest.approx(expected)


def test_many_sets_at_once() -> None:
    u = drawn(9)
    sets = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 8]])
    d = squared_distances(u)
    both = widest(d[sets[:, :, None], sets[:, None, :]])
    torch.testing.assert_close(both, torch.stack([widest(squared_distances(u[s])) for s in sets]))


def test_a_cluster_keeps_its_digits_beside_what_is_far_off() -> None:
    u = torch.cat([drawn(5), 1e12 + drawn(2)])
    share = torch.tensor([0.2] * 5 + [0.0] * 2, dtype=torch.float64)
    off = u[:5] - u[:5].mean(0)
    torch.testing.assert_close(about_mean(squared_distances(u), share)[:5, :5], off @ off.T)
