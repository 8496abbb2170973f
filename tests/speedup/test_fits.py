"""Fits recover exactly what follows their law, and the model of a round is that of network.theory."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import BadInput
from foedus.network import theory
from foedus.speedup.fits import amdahl_fraction, gustafson_fraction, nonnegative
from foedus.speedup.model import EXCHANGES, Empty, RoundCosts, fit_jobs, fit_round, in_all, on_the_path

share = st.floats(0, 1)
several = st.lists(st.integers(2, 64), min_size=1, max_size=6)
cost = st.one_of(st.just(0.0), st.floats(1e-3, 1.0))


@given(share, several)
def test_amdahl_is_recovered(f, ps):
    assert amdahl_fraction([1, *ps], [1.0, *(theory.amdahl(f, p) for p in ps)]) == pytest.approx(f, abs=1e-9)


@given(share, several)
def test_gustafson_is_recovered(f, ps):
    assert gustafson_fraction([1, *ps], [1.0, *(theory.gustafson(f, p) for p in ps)]) == pytest.approx(f, abs=1e-9)


@given(several, st.lists(st.floats(0.1, 80), min_size=6, max_size=6))
def test_the_fit_of_amdahl_is_the_nearest_of_all(ps, measured):
    speedups = measured[: len(ps)]

    def error(f):
        return math.fsum(((1 - f) + f / p - 1 / s) ** 2 for p, s in zip(ps, speedups, strict=True))

    f = amdahl_fraction(ps, speedups)
    assert 0 <= f <= 1
    assert error(f) <= min(error(k / 200) for k in range(201)) + 1e-12


@pytest.mark.parametrize("fit", [amdahl_fraction, gustafson_fraction])
def test_one_process_is_no_speedup(fit):
    with pytest.raises(BadInput, match="more than one process"):
        fit([1], [1.0])
    with pytest.raises(BadInput, match="positive"):
        fit([1, 2], [1.0, math.nan])


@given(st.lists(cost, min_size=3, max_size=3).filter(any))
def test_costs_of_a_round_are_recovered(costs):
    wanted = RoundCosts(*costs)
    for exchange in EXCHANGES:
        # Sizes of four and two vectors, so that no unknown is left open.
        rounds = [Empty(p, size, wanted.seconds(exchange, p, size)) for p in (1, 2, 3, 4) for size in (1.0, 5.0)]
        if any(r.seconds == 0 for r in rounds):
            continue  # without a fixed part one rank of a ring spends nothing at all: that cannot be measured
        found = fit_round(exchange, rounds)
        for a, b in zip(
            (found.fixed_s, found.alpha_s, found.beta_s), (wanted.fixed_s, wanted.alpha_s, wanted.beta_s), strict=True
        ):
            assert a == pytest.approx(b, rel=1e-5, abs=1e-8)


@given(cost, st.floats(1e-6, 1), st.floats(0, 1000))
def test_jobs_on_a_line_are_recovered(fixed, row, rows):
    found = fit_jobs(2, [(r, fixed + r * row) for r in (10, 20, 40)])
    assert (found.fixed_s, found.row_s) == (pytest.approx(fixed, rel=1e-6, abs=1e-7), pytest.approx(row, rel=1e-6))
    assert found.seconds(rows) == pytest.approx(fixed + row * rows, rel=1e-6, abs=1e-7)


@given(st.dictionaries(st.integers(1, 100), st.floats(1e-3, 1), min_size=1), st.floats(0, 200), st.floats(0, 200))
def test_more_rows_never_take_less(jobs, few, many):
    found = fit_jobs(1, list(jobs.items()))
    few, many = sorted((few, many))
    assert 0 <= found.seconds(few) <= found.seconds(many) * (1 + 1e-12)
    smallest, largest = min(jobs), max(jobs)
    assert found.seconds(smallest) == pytest.approx(jobs[smallest])
    assert found.seconds(largest) == pytest.approx(max(jobs.values()))


def test_no_jobs_are_no_calibration():
    for jobs in ([], [(0, 1.0)]):
        with pytest.raises(BadInput, match="at least one row"):
            fit_jobs(1, jobs)


@given(st.lists(st.floats(0.01, 10), min_size=4, max_size=4))
def test_costs_are_never_negative_and_no_other_is_nearer(seconds):
    columns = ([1.0] * 4, [1.0, 2.0, 3.0, 4.0])
    found = nonnegative(columns, seconds)
    assert min(found) >= 0

    def error(c):
        return sum(((c[0] + c[1] * x) / s - 1) ** 2 for x, s in zip(columns[1], seconds, strict=True))

    for other in [(0.0, 0.0), (min(seconds), 0.0), (0.0, min(seconds) / 4), tuple(c * 1.01 for c in found)]:
        assert error(found) <= error(other) + 1e-9
    for k in (0, 1):
        assert error(found) <= error([c + 1e-4 * (i == k) for i, c in enumerate(found)]) + 1e-9


@given(st.integers(1, 64), st.floats(1, 1e9), st.floats(0, 1e-2), st.floats(0, 1e-7))
def test_the_model_is_the_closed_form_of_theory(p, nbytes, alpha, beta):
    costs = RoundCosts(0.0, alpha, beta)
    assert costs.seconds("ring", p, nbytes) == pytest.approx(theory.ring_allreduce_seconds(p, nbytes, alpha, beta))
    assert costs.seconds("tree", p, nbytes) == pytest.approx(theory.tree_allreduce_seconds(p, nbytes, alpha, beta))
    assert costs.seconds("server", p, nbytes) == pytest.approx(
        theory.server_seconds(p, nbytes, 0, beta) + 2 * p * alpha
    )


def test_what_is_sent_in_all():
    assert in_all("ring", 4)[1] == pytest.approx(4 * theory.ring_allreduce_bytes(4, 1.0))
    assert in_all("gloo", 4) is None
    assert in_all("tree", 1) == (0, 0.0)
    # What all send is at least what lies on the path, and a server's path is all there is.
    for p in (2, 3, 7, 16):
        assert in_all("server", p) == on_the_path("server", p)
        for exchange in ("tree", "ring"):
            assert in_all(exchange, p)[0] >= on_the_path(exchange, p)[0]


def test_an_unknown_exchange_says_the_nearest():
    with pytest.raises(BadInput, match="did you mean 'ring'"):
        on_the_path("rings", 2)
