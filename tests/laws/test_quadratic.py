"""The two-node quadratic f1 = x^2/2, f2 = 2 (x-1)^2, optimum 0.8: closed forms of FedAvg and of proximal steps."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import foedus as fd
from foedus.jobs import InverseTime
from foedus.testing import quadratic

CURVATURE, OPTIMUM = (1.0, 4.0), (0.0, 1.0)
QUIET = 10**9
"""evaluate_every: only the last round."""


def _train(program, start: float = 0.0) -> fd.Run:
    problem = quadratic(start)
    return fd.train(program, problem.model, problem.data, evaluate_every=QUIET)


def _fixed_point(lr: float, steps: int) -> float:
    gain = [1 - (1 - lr * a) ** steps for a in CURVATURE]
    return sum(g * b for g, b in zip(gain, OPTIMUM, strict=True)) / sum(gain)


def test_the_problem_is_the_one_named() -> None:
    problem = quadratic(0.25)
    rows = [
        problem.model.row_losses(problem.model.module(x), y) for x, y in (problem.data.rows(k).batch() for k in (0, 1))
    ]
    assert [r.item() for r in rows] == [0.25**2 / 2, 2 * 0.75**2]


def test_fedavg_stops_at_its_fixed_point() -> None:
    """In float32 a point near 0.7 is known to 6e-8, and the contraction of 0.33 a round leaves a few of these."""
    local = fd.LocalSGD(epochs=5, batch_size=None, lr=0.1)
    for start in (0.0, 3.0):
        x = float(_train(fd.FedAvg(60, local=local), start).vector)
        assert x == pytest.approx(0.6925023465, abs=1e-6)
    assert _fixed_point(0.1, 5) == pytest.approx(0.6925023465, abs=1e-10)


@settings(max_examples=12, deadline=None)
@given(lr=st.floats(0.05, 0.45), steps=st.integers(1, 12))
def test_fedavg_fixed_point_for_any_rate_and_steps(lr: float, steps: int) -> None:
    contraction = sum((1 - lr * a) ** steps for a in CURVATURE) / 2
    rounds = 2 if abs(contraction) < 1e-9 else max(2, math.ceil(math.log(1e-8) / math.log(abs(contraction))))
    local = fd.LocalSGD(steps=steps, batch_size=None, lr=lr)
    assert float(_train(fd.FedAvg(rounds, local=local)).vector) == pytest.approx(_fixed_point(lr, steps), abs=2e-6)


def test_decaying_rate_converges_like_one_over_t() -> None:
    rounds = [60, 120, 240, 480]
    local = fd.LocalSGD(epochs=5, batch_size=None, lr=InverseTime(0.1, 0.1))
    gaps = [abs(float(_train(fd.FedAvg(t, local=local)).vector) - 0.8) for t in rounds]
    slope = np.polyfit(np.log(rounds), np.log(gaps), 1)[0]
    assert slope == pytest.approx(-1, abs=0.1)


def test_proximal_with_exact_local_minimisation() -> None:
    local = fd.LocalSGD(steps=25, batch_size=None, lr=0.08, proximal=10.0)
    assert float(_train(fd.FedAvg(100, local=local)).vector) == pytest.approx(0.758621, abs=2e-6)


def test_proximal_zero_is_fedavg() -> None:
    a = _train(fd.FedAvg(5, local=fd.LocalSGD(epochs=3, batch_size=None, lr=0.1, proximal=0.0)))
    b = _train(fd.FedAvg(5, local=fd.LocalSGD(epochs=3, batch_size=None, lr=0.1)))
    c = _train(fd.FedAvg(5, local=fd.LocalSGD(epochs=3, batch_size=None, lr=0.1, proximal=1.0)))
    assert a.sha256 == b.sha256 != c.sha256
