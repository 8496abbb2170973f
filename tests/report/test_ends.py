"""Ends of intervals: closed forms where there are some, and what they cover of errors with and without heavy tails."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foedus.core.types.cells import GROUPS
from foedus.report.ends import EXPLAINED, PLAIN, POSITIVE, ROOT, SHARE, Estimate, ends, t_quantile


def of_mean(values: np.ndarray, value: float | None = None, random=None) -> Estimate:
    """Of a mean; or of another ``value``, that rows move by so much."""
    n = len(values)
    group = np.arange(n) % GROUPS if random is None else random.integers(0, GROUPS, n)
    moved = np.bincount(group, (values - values.mean()) / n, GROUPS) * math.sqrt(n / (n - 1))
    return Estimate(float(values.mean()) if value is None else value, moved, [(0.0, 0)], n)


@pytest.mark.parametrize("p", [0.75, 0.975, 0.995])
@pytest.mark.parametrize("df", [1, 1.5, 2, 3.3, 10, 30, 59, 61, 200, 1e5])
def test_quantiles_are_scipys(p, df):
    assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-6)


def test_of_rows_alike_it_is_students_and_of_one_that_stands_out_wider_on_its_side():
    even = of_mean(np.tile([1.0, -1.0], 32))  # all groups move it by as much, up as down
    wide = t_quantile(0.975, 1 / (1 / 63)) * math.sqrt(1 / 63)
    assert (ends(even, PLAIN).low, ends(even, PLAIN).high) == pytest.approx((-wide, wide))
    one = of_mean(np.append(np.tile([1.0, -1.0], 32), 12.0))
    found, s = ends(one, PLAIN), math.sqrt(one.variance)
    assert one.value - found.low > 1.1 * 2 * s  # few groups make up the variance
    assert found.high - one.value > 1.5 * (one.value - found.low)
    mirrored = ends(Estimate(-one.value, -one.deviations, one.trained, one.size), PLAIN)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((found.low, found.high))


@given(st.integers(5, 300), st.integers(0, 20))
def test_a_root_has_the_root_of_its_squares_interval(n, seed):
    square = np.random.default_rng(seed).normal(size=n) ** 2
    mean = of_mean(square)
    root = math.sqrt(mean.value)
    found = ends(Estimate(root, mean.deviations / (2 * root), mean.trained, n), ROOT)
    whole = ends(mean, POSITIVE)
    assert (found.low**2, found.high**2) == pytest.approx((whole.low, whole.high))


@given(st.floats(-3, 0.999), st.floats(1e-4, 2), st.integers(3, 500))
def test_ends_stay_inside_and_go_around_the_value(value, spread, n):
    moved = np.random.default_rng(n).normal(size=GROUPS) * spread / 8
    for bounds in (PLAIN, EXPLAINED, *((POSITIVE, ROOT, SHARE) if value > 0 else ())):
        found = ends(Estimate(value, moved, [(0.0, 0)], n), bounds)
        assert found.low <= value <= found.high
        assert found.low >= 0 or bounds in (PLAIN, EXPLAINED)
        assert found.high <= 1 or bounds not in (EXPLAINED, SHARE)


def test_what_is_explained_may_be_nothing():
    """Ends by the odds alone would say of a share of 0.02 that it is above 0."""
    moved = np.tile([1.0, -1.0], 32) * 0.03 / 8
    assert ends(Estimate(0.02, moved, [(0.0, 0)], 100), EXPLAINED).low < 0


NOISE = {
    "normal": (lambda r, n: r.normal(size=n), 1.0),
    "Student's t, 3 degrees of freedom": (lambda r, n: r.standard_t(3, n), 3.0),
    "log-normal": (lambda r, n: np.exp(r.normal(size=n)) - math.exp(0.5), (math.e - 1) * math.e),
}


@pytest.mark.parametrize(("rows", "times"), [(100, 400), (400, 200)])
@pytest.mark.parametrize("noise", NOISE)
def test_a_root_mean_square_is_covered_whatever_the_tail(noise, rows, times):
    """By Student's interval of the logarithm, as it was, 94, 75 and 72 per cent of 100 rows."""
    draw, variance = NOISE[noise]
    random = np.random.default_rng(5)
    covered = wrong = untold = 0
    wide, before = 0.0, 0.0
    for _ in range(times):
        mean = of_mean(draw(random, rows) ** 2, random=random)
        root = math.sqrt(mean.value)
        e = Estimate(root, mean.deviations / (2 * root), mean.trained, rows)
        found = ends(e, ROOT)
        hit = found.low**2 <= variance <= found.high**2
        covered, wrong, untold = covered + hit, wrong + (found.told and not hit), untold + (not found.told)
        student = e.t * math.sqrt(e.variance) / root
        wide, before = wide + found.high - found.low, before + root * (math.exp(student) - math.exp(-student))
    assert covered / times > 0.9 - 0.02
    assert wrong / times < 0.1 + 0.01
    if noise == "normal":
        assert covered / times < 0.98 + 0.01
        assert untold / times < 0.01
        assert wide / before < 1.25
    elif rows == 100:  # squares without a variance, or with one that 100 rows do not show: much of it is left untold
        assert untold / times > 0.25
