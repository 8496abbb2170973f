"""The filter along the direction of most variance."""

import numpy as np
import pytest
import torch

import foedus as fd
from foedus.aggregators import CAF
from foedus.aggregators.caf import best_weights
from foedus.aggregators.gram import squared_distances


def by_the_paper(u: np.ndarray, f: int) -> np.ndarray:
    """Algorithm 2 with whole covariance matrices (D, D)."""
    c, best, least = np.ones(len(u)), None, np.inf
    while True:
        mean = c @ u / c.sum()
        off = u - mean
        values, vectors = np.linalg.eigh((c[:, None] * off).T @ off / c.sum())
        if values[-1] < least:
            best, least = mean, values[-1]
        t = (off @ vectors[:, -1]) ** 2
        c = c * (1 - t / t[c > 0].max()).clip(0)
        if c.sum() <= len(u) - 2 * f:
            return best


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n", "d", "f"), [(5, 2, 1), (9, 6, 3), (12, 30, 3), (7, 1, 3)])
def test_it_is_that_of_the_paper(n: int, d: int, f: int, seed: int) -> None:
    u = np.random.default_rng(seed).normal(size=(n, d))
    u[: f // 2] += 5.0
    torch.testing.assert_close(CAF(f)(torch.from_numpy(u)), torch.from_numpy(by_the_paper(u, f)), rtol=1e-9, atol=1e-9)


def test_it_does_not_lose_those_near_each_other_beside_those_far_off() -> None:
    """Honest updates within 0.001 of each other, at 1000 from 0, and others at 1e15."""
    g = torch.Generator().manual_seed(0)
    honest = 1000 + 1e-3 * torch.randn(9, 50, generator=g)
    u = torch.cat([honest, 1e15 * torch.randn(2, 50, generator=g)])
    torch.testing.assert_close(CAF(2)(u), honest.mean(0), rtol=0, atol=2e-3)


def test_equal_updates_and_no_dishonest_ones() -> None:
    u = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(CAF(0)(u), u.mean(0))
    assert torch.equal(CAF(2)(torch.ones(5, 3)), torch.ones(3))
    assert torch.equal(CAF(2)(torch.zeros(5, 3)), torch.zeros(3))


def test_weights_are_taken_from_those_that_stick_out() -> None:
    u = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [0.1, 0.1], [9.0, 0.0], [0.0, 9.0]])
    c = best_weights(squared_distances(u), 2)
    assert c[4] == c[5] == 0
    assert float(c[:4].min()) > 0.5


def test_too_few_are_refused() -> None:
    with pytest.raises(fd.BadInput, match=r"CAF\(f=2\) needs n >= 2f \+ 1, at least 5 finite updates; got 4"):
        CAF(2)(torch.zeros(4, 2))
