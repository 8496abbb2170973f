"""Latency and bandwidth from measured messages."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from foedus.core.errors import BadInput
from foedus.network.fit import fit_alpha_beta
from foedus.network.theory import message_seconds

SIZES = [10**k for k in range(2, 8)]


def loss(alpha, beta, samples):
    return sum(((alpha + b * beta - t) / t) ** 2 for b, t in samples)


@given(st.floats(1e-6, 1e-1), st.floats(1e-11, 1e-6), st.lists(st.sampled_from(SIZES), min_size=2, max_size=20))
def test_a_straight_line_is_found_again(alpha, beta, sizes):
    assume(len(set(sizes)) > 1)
    samples = [(b, message_seconds(b, alpha, beta)) for b in sizes]
    a, b = fit_alpha_beta(samples)
    # Where one part is a millionth of every sample, it is known to as many digits less.
    for got, true, weight in ((a, alpha, 1.0), (b, beta, max(sizes))):
        share = true * weight / max(t for _, t in samples)
        assert got == pytest.approx(true, rel=1e-12 / min(1.0, share) * max(sizes) / min(sizes) + 1e-12)


@given(st.lists(st.tuples(st.sampled_from(SIZES), st.floats(1e-6, 1e-1)), min_size=2, max_size=8))
def test_no_other_numbers_of_at_least_zero_fit_better(samples):
    assume(len({b for b, _ in samples}) > 1)
    alpha, beta = fit_alpha_beta(samples)
    assert alpha >= 0
    assert beta >= 0
    best = loss(alpha, beta, samples)
    longest = max(t for _, t in samples)
    for step in (1e-3, -1e-3):
        for a, b in ((step * longest, 0), (0, step * longest / 1e7), (0, step * longest / 1e2), (alpha * step, 0)):
            if alpha + a >= 0 and beta + b >= 0:
                assert loss(alpha + a, beta + b, samples) >= best * (1 - 1e-9) - 1e-9


def test_a_link_without_latency_and_one_without_bandwidth():
    assert fit_alpha_beta([(100, 1e-6), (1000, 1e-5)]) == (0.0, pytest.approx(1e-8))
    assert fit_alpha_beta([(100, 2.0), (1000, 1.0)]) == (pytest.approx(1.2), 0.0)


@pytest.mark.parametrize("samples", [[], [(100, 1.0)], [(100, 1.0), (100, 2.0)], [(1, 0.0), (2, 1.0)], [(-1, 1.0)]])
def test_what_cannot_be_fitted_is_refused(samples):
    with pytest.raises(BadInput, match=r"sample|sizes"):
        fit_alpha_beta(samples)
