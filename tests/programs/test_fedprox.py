"""FedProx against its fixed point under exact local minimisation."""

import pytest

import foedus as fd
from foedus.programs import FedAvg, FedProx
from foedus.testing import quadratic

CURVATURE, OPTIMUM = (1.0, 4.0), (0.0, 1.0)


def _end(program, start: float = 0.0) -> float:
    problem = quadratic(start)
    return float(fd.train(program, problem.model, problem.data, evaluate_every=10**9).vector)


@pytest.mark.parametrize("mu", [0.1, 1.0, 10.0])
def test_fixed_point_with_exact_local_minimisation(mu: float) -> None:
    """x* = sum w_k b_k / sum w_k with w_k = p_k a_k / (a_k + mu)."""
    w = [a / (a + mu) / 2 for a in CURVATURE]
    expected = sum(w_k * b for w_k, b in zip(w, OPTIMUM, strict=True)) / sum(w)
    # A rate of 1 / (4 + mu) finds the minimum of the steeper node at once, and contracts the other by 3 / (4 + mu).
    local = fd.LocalSGD(steps=60, batch_size=None, lr=1 / (4 + mu))
    assert _end(FedProx(int(30 + 12 * mu), local=local, mu=mu)) == pytest.approx(expected, abs=3e-6)
    if mu == 10:
        assert expected == pytest.approx(0.758621, abs=1e-6)


def test_it_is_a_value_of_local_sgd() -> None:
    local = fd.LocalSGD(steps=5, batch_size=None, lr=0.1)
    plain = FedAvg(3, local=fd.LocalSGD(steps=5, batch_size=None, lr=0.1, proximal=2.0))
    assert _end(FedProx(3, local=local, mu=2.0)) == _end(plain) != _end(FedAvg(3, local=local))


def test_the_gradient_of_the_proximal_term_is_zero_where_it_starts() -> None:
    one_step = fd.LocalSGD(steps=1, batch_size=None, lr=0.1)
    assert _end(FedProx(4, local=one_step, mu=100.0)) == _end(FedAvg(4, local=one_step))


def test_schedules_are_resolved() -> None:
    local = fd.LocalSGD(steps=2, batch_size=None, lr=fd.jobs.ExponentialDecay(0.2, 0.5))
    assert [FedProx(1, local=local, mu=1.0).job(t).lr for t in (0, 2)] == [0.2, 0.05]
