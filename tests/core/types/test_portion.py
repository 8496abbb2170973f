"""portion: a share of so many is counted by the decimal that was written."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

import foedus as fd
from foedus.core.types.portion import portion
from foedus.sampling import OverSelect


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_hundredths_are_hundredths(digits):
    scale = 10**digits
    for n in (1, 7, 25, 50, 100, 150, 1797):
        for c in range(1, scale + 1, max(1, scale // 100)):
            assert portion(c / scale, n) == Fraction(c * n, scale)


def test_a_float_of_numpy_and_a_whole_number_will_do():
    assert portion(np.float64(0.07), 100) == 7
    assert portion(1, 3) == 3


def test_whoever_takes_a_share_counts_it_so():
    # In binary 0.07 times 100 is more than 7, 0.07 times 150 more than ten and a half.
    shapes = {"delta": ((100,), torch.float32)}
    assert fd.TopK(0.07).wire(shapes)["delta"][0] == (7,)
    assert fd.RandomK(0.07).wire(shapes)["delta"][0] == (7,)
    for c in range(1, 100):
        for d in (10, 25, 100, 1000):
            assert fd.TopK(c / 100).kept(d) == max(1, math.ceil(Fraction(c * d, 100)))
    assert len(fd.Fraction(0.07).draw(150, fd.Key(0))) == 10
    assert OverSelect(100, 1.1).asked == 110
    rows = fd.data.arrays(np.zeros((150, 1)), np.zeros(150, dtype=int), test=0.07)
    assert len(rows.y) == 140
