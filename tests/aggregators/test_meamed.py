"""The mean around the median against its definition."""

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import given, settings

from foedus.aggregators import MeaMed


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(1, 6), st.booleans(), st.integers(0, 2**31))
def test_the_nearest_values_are_averaged(f: int, more: int, d: int, whole: bool, seed: int) -> None:
    random, shape = np.random.default_rng(seed), (2 * f + 1 + more, d)
    u = random.integers(-3, 4, shape).astype(float) if whole else random.normal(size=shape)  # whole: many ties
    expected = []
    for values in u.T:
        near = sorted(values, key=lambda v, m=np.median(values): (abs(v - m), v))  # of equally far ones the lower
        expected.append(np.mean(near[: len(u) - f]))
    np.testing.assert_allclose(MeaMed(f)(torch.from_numpy(u)).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_a_value_far_away_costs_the_others_no_digits() -> None:
    u = torch.tensor([[1e30], [0.1], [0.2], [0.3], [-1e30]])
    torch.testing.assert_close(MeaMed(2)(u), torch.tensor([0.2]))
