"""The set that varies least along any direction."""

from itertools import combinations

import numpy as np
import pytest
import torch

import foedus as fd
from foedus.aggregators import SMEA


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "d", "f"), [(5, 2, 2), (8, 5, 3), (9, 20, 2), (6, 1, 1)])
def test_no_set_varies_less(n: int, d: int, f: int, seed: int) -> None:
    u = np.random.default_rng(seed).normal(size=(n, d))
    u[:f] *= 3.0

    def most(rows) -> float:
        return np.linalg.eigvalsh(np.cov(u[list(rows)].T, bias=True).reshape(d, d)).max()

    best = min(combinations(range(n), n - f), key=most)
    torch.testing.assert_close(SMEA(f)(torch.from_numpy(u)), torch.from_numpy(u[list(best)].mean(0)))


def test_of_equal_sets_the_first_counts() -> None:
    assert SMEA(1)(torch.tensor([[0.0], [1.0], [2.0]])).tolist() == [0.5]
    assert SMEA(1)(torch.tensor([[2.0], [1.0], [0.0]])).tolist() == [1.5]


def test_as_many_sets_as_take_too_long_are_refused() -> None:
    u = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(fd.BadInput, match=r"45 of 50 updates, 2,118,760 sets.* use CAF\(f=5\)"):
        SMEA(5)(u)
    assert SMEA(2)(u).shape == (3,)
