"""Numbers as people read them."""

import doctest
import math

import pytest

from foedus.report import units, verdict
from foedus.report.units import MISSING, human_bytes, human_count, human_seconds, percent, three_digits, times


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"), (1, "1 B"), (999, "999 B"), (1000, "1 kB"), (1234, "1.23 kB"), (12_345, "12.3 kB"),
        (999_499, "999 kB"), (999_500, "1 MB"), (4_104_000, "4.1 MB"), (5e9, "5 GB"), (3e21, "3000 EB"),
        (-1500, "-1.5 kB"), (None, MISSING), (math.nan, MISSING), (math.inf, MISSING),
    ],
)  # fmt: skip
def test_bytes(n, text):
    assert human_bytes(n) == text


@pytest.mark.parametrize(
    ("s", "text"),
    [
        (0, "0 s"), (7e-9, "7 ns"), (0.00042, "420 µs"), (0.9996e-3, "1 ms"),
        (0.0421, "42.1 ms"), (0.99949, "999 ms"), (0.9996, "1 s"), (12.345, "12.3 s"),
        (59.94, "59.9 s"), (59.96, "1 min"), (60, "1 min"), (65, "1 min 5 s"), (3599.4, "59 min 59 s"), (3599.6, "1 h"),
        (7500, "2 h 5 min"), (86_399, "1 d"), (90_000, "1 d 1 h"), (123 * 86_400, "123 d"), (-5, "-5 s"),
        (None, MISSING), (math.nan, MISSING), (math.inf, MISSING),
    ],
)  # fmt: skip
def test_seconds(s, text):
    assert human_seconds(s) == text


@pytest.mark.parametrize(
    ("n", "text"), [(12345, "12,345"), (2.5, "2.5"), (0.05, "0.05"), (123.4, "123"), (None, MISSING)]
)
def test_count(n, text):
    assert human_count(n) == text


def test_share_and_factor():
    assert percent(0.95123) == "95.1 %"
    assert percent(0.9, 0) == "90 %"
    assert percent(math.nan) == MISSING
    assert times(24, 2) == "12 times"
    assert times(3, 2) == "1.5 times"
    assert times(18, 2) == "9 times"


@pytest.mark.parametrize(
    ("x", "text"), [(0, "0"), (1.0, "1"), (100.0, "100"), (1.234, "1.23"), (1e30, "1e+30"), (-0.5, "-0.5")]
)
def test_three_digits(x, text):
    assert three_digits(x) == text


@pytest.mark.parametrize("module", [units, verdict])
def test_examples_in_docstrings(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
