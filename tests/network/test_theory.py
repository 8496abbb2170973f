"""Closed forms against the numbers that are known, and against brute force where there is one."""

import itertools
import math

import pytest

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.network import theory

# Eight machines, 100 MB, 10 Gbit/s, 50 us.
EIGHT = {"n": 8, "nbytes": 100e6, "alpha": 50e-6, "beta": 8 / 10e9}


@pytest.mark.parametrize(
    ("seconds", "known"),
    [
        (theory.ring_allreduce_seconds, 0.1407),
        (theory.recursive_doubling_seconds, 0.24015),
        (theory.tree_allreduce_seconds, 0.4803),
        (theory.server_seconds, 1.2801),
    ],
)
def test_collectives_of_eight_machines(seconds, known):
    assert seconds(**EIGHT) == pytest.approx(known, rel=1e-12)


def test_message_is_latency_and_bytes():
    assert theory.message_seconds(1000, alpha=0.5, beta=0.25) == 250.5
    assert theory.message_seconds(0, alpha=0.5, beta=0.25) == 0.5


@pytest.mark.parametrize("n", [2, 3, 8, 100])
def test_ring_sends_exactly_its_share(n):
    assert theory.ring_allreduce_bytes(n, n * 1000) == 2 * (n - 1) * 1000
    # The chunks sent one after the other: 2(n-1) messages of 1/n of the vector.
    steps = 2 * (n - 1) * theory.message_seconds(1000, alpha=1.0, beta=0.5)
    assert theory.ring_allreduce_seconds(n, n * 1000, alpha=1.0, beta=0.5) == pytest.approx(steps, rel=1e-12)


@pytest.mark.parametrize("seconds", [theory.ring_allreduce_seconds, theory.recursive_doubling_seconds])
def test_one_machine_has_nothing_to_reduce(seconds):
    assert seconds(1, 1e6, 1.0, 1.0) == 0


@pytest.mark.parametrize(("n", "doubling", "tree"), [(2, 1, 2), (4, 2, 4), (5, 4, 6), (7, 4, 6), (8, 3, 6), (9, 5, 8)])
def test_steps_where_n_is_no_power_of_two(n, doubling, tree):
    assert theory.recursive_doubling_seconds(n, 0, alpha=1.0, beta=0.0) == doubling
    assert theory.tree_allreduce_seconds(n, 0, alpha=1.0, beta=0.0) == tree


def test_recursive_doubling_wins_when_messages_are_small_and_the_ring_when_they_are_large():
    small, large = EIGHT | {"nbytes": 1e3}, EIGHT
    assert theory.recursive_doubling_seconds(**small) < theory.ring_allreduce_seconds(**small)
    assert theory.ring_allreduce_seconds(**large) < theory.recursive_doubling_seconds(**large)


def test_speedups():
    assert theory.amdahl(0.95, 16) == pytest.approx(9.1429, abs=5e-5)
    assert theory.gustafson(0.95, 16) == pytest.approx(15.25, rel=1e-12)
    assert theory.amdahl(1.0, 16) == theory.gustafson(1.0, 16) == 16
    assert theory.amdahl(0.0, 16) == theory.gustafson(0.0, 16) == 1
    assert theory.amdahl(0.95, 1e12) == pytest.approx(20)
    assert theory.speedup(100, 12.5) == 8
    assert theory.efficiency(100, 12.5, p=16) == 0.5


def test_stragglers():
    assert theory.harmonic(0) == 0
    assert theory.harmonic(8) == pytest.approx(2.717857, abs=5e-7)
    assert theory.expected_maximum(8) == pytest.approx(2.717857, abs=5e-7)
    assert theory.expected_maximum(100) == pytest.approx(5.187378, abs=5e-7)
    assert theory.expected_kth(96, 100) == pytest.approx(3.104044, abs=5e-7)
    assert theory.expected_maximum(8, rate=4.0, shift=2.0) == pytest.approx(2 + theory.harmonic(8) / 4)
    assert theory.expected_kth(1, 100, rate=2.0) == pytest.approx(1 / 200)


def test_kth_of_n_is_a_difference_of_harmonic_numbers():
    for n, k in itertools.product((1, 2, 7, 30), range(1, 8)):
        if k <= n:
            expected = 0.25 + (theory.harmonic(n) - theory.harmonic(n - k)) / 3
            assert theory.expected_kth(k, n, rate=3.0, shift=0.25) == pytest.approx(expected, rel=1e-12)


def test_kth_of_n_matches_draws():
    """Three of five workers, shifted exponential, 4,000 rounds: within three standard errors."""
    rounds = [sorted(0.5 + Key(5).child(r, i).exponential() / 2 for i in range(5))[2] for r in range(4000)]
    mean = sum(rounds) / len(rounds)
    error = math.sqrt(sum((x - mean) ** 2 for x in rounds)) / len(rounds)
    assert abs(mean - theory.expected_kth(3, 5, rate=2.0, shift=0.5)) < 3 * error


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: theory.message_seconds(-1, 0, 0), "nbytes is -1"),
        (lambda: theory.message_seconds(1, math.nan, 0), "alpha is nan"),
        (lambda: theory.ring_allreduce_seconds(0, 1, 1, 1), "n is 0: it must be a whole number"),
        (lambda: theory.server_seconds(2.5, 1, 1, 1), "n is 2.5"),
        (lambda: theory.amdahl(95, 16), "f is 95: it must be a share between 0 and 1"),
        (lambda: theory.gustafson(0.5, 0), "p is 0"),
        (lambda: theory.expected_kth(5, 4), "there is no k-th of n"),
        (lambda: theory.expected_maximum(4, rate=0), "rate is 0"),
        (lambda: theory.expected_maximum(4, shift=-1), "shift is -1"),
        (lambda: theory.harmonic(-1), "n is -1"),
        (lambda: theory.speedup(0, 1), "serial_seconds is 0"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(BadInput, match=says):
        call()
