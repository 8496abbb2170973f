"""Minimum-diameter averaging against a search through all sets, and where it gives up."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.aggregators import MDA, mda


def first_of_all_sets(u: np.ndarray, f: int) -> tuple[int, ...]:
    far = ((u[:, None] - u[None]) ** 2).sum(2)
    every = itertools.combinations(range(len(u)), len(u) - f)
    return min(every, key=lambda s: far[np.ix_(s, s)].max())  # min keeps the first of equal ones


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.integers(0, 3), st.integers(1, 4), st.booleans(), st.integers(0, 2**31))
def test_the_set_is_the_first_of_the_least_diameter(f: int, more: int, d: int, whole: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (2 * f + 1 + more, d)
    u = random.integers(-2, 3, shape).astype(float) if whole else random.normal(size=shape)  # whole: many ties
    rows = list(first_of_all_sets(u, f))
    np.testing.assert_allclose(MDA(f)(torch.from_numpy(u)).numpy(), u[rows].mean(0), rtol=1e-12, atol=1e-12)


def test_a_large_f_is_fast_where_attackers_stand_out_and_refused_where_it_is_hopeless(monkeypatch) -> None:
    u = torch.randn(60, 50, generator=torch.Generator().manual_seed(0))
    u[:25] += 20.0
    torch.testing.assert_close(MDA(25)(u), u[25:].mean(0))
    monkeypatch.setattr(mda, "MOST", 20)
    alike = torch.randn(60, 50, generator=torch.Generator().manual_seed(1))
    with pytest.raises(fd.BadInput, match=r"MDA\(f=25\) of 60 updates would look at more than 20 sets: lower f"):
        MDA(25)(alike)
