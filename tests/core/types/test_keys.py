"""Keyed randomness."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.types.keys import Key

PATHS = st.lists(st.integers(-5, 5) | st.text(max_size=3), max_size=4).map(tuple)


@given(st.integers(0, 3), PATHS, st.integers(0, 3), PATHS)
def test_two_keys_draw_alike_exactly_if_they_are_equal(s1, p1, s2, p2):
    a, b = Key(s1, p1), Key(s2, p2)
    assert (a.digest() == b.digest()) == ((s1, p1) == (s2, p2))


def test_children_join_their_paths():
    assert Key(3).child("job", 1).child(2) == Key(3).child("job", 1, 2)
    assert Key(3).child("job", 1).digest() != Key(3).child("job1").digest()


def test_numbers_of_numpy_name_the_same_draw():
    assert Key(np.int64(3)).child(np.int32(7), np.str_("x")).digest() == Key(3).child(7, "x").digest()


def test_golden_values():
    # Changing these changes every run ever made: do it only with a reason, written down.
    key = Key(0).child("job", 7, 0)
    assert key.digest().hex() == GOLDEN["digest"]
    assert key.integer() == GOLDEN["integer"]
    assert key.uniform() == GOLDEN["uniform"]
    assert key.numpy().integers(0, 1000, 5).tolist() == GOLDEN["numpy"]
    assert torch.randint(0, 1000, (5,), generator=key.torch()).tolist() == GOLDEN["torch"]


def test_draws_do_not_depend_on_what_was_drawn_before():
    key = Key(1).child("a")
    before = key.uniform(), key.numpy().random(), torch.rand(1, generator=key.torch()).item()
    np.random.default_rng(0).random(10)
    torch.rand(10)
    assert before == (key.uniform(), key.numpy().random(), torch.rand(1, generator=key.torch()).item())


GOLDEN = {
    "digest": "59a627db0e31f2664aed734c1e89c4bb",  # blake2b-128 of "(0, ('job', 7, 0))"
    "integer": 3709022738054370092,
    "uniform": 0.4021330510396682,
    "numpy": [789, 580, 23, 554, 529],
    "torch": [60, 793, 682, 523, 334],
}

N = 20_000


@pytest.mark.parametrize(
    ("draw", "mean", "variance"), [("uniform", 0.5, 1 / 12), ("normal", 0.0, 1.0), ("exponential", 1.0, 1.0)]
)
def test_moments(draw, mean, variance):
    x = np.array([getattr(Key(5).child("moments", i), draw)() for i in range(N)])
    assert abs(x.mean() - mean) < 5 * math.sqrt(variance / N)
    assert abs(x.var() - variance) < 0.06 * variance
    # Neighbouring keys are independent: the lag-1 correlation is that of noise.
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 5 / math.sqrt(N)


def test_uniform_stays_inside_the_open_interval():
    class Extreme(Key):
        def digest(self):
            return bytes([self.seed]) * 16

    for byte in (0, 255):
        assert 0.0 < Extreme(byte).uniform() < 1.0
        assert math.isfinite(Extreme(byte).normal())
        assert math.isfinite(Extreme(byte).exponential())
    assert 0 <= Extreme(255).integer() < 2**63
