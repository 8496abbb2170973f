"""FedDyn against its recurrence on the quadratic, where FedAvg is biased."""

import pytest
import torch

import foedus as fd
from foedus.programs import FedAvg, FedDyn
from foedus.testing import quadratic, small

CURVATURE, OPTIMUM = (1.0, 4.0), (0.0, 1.0)
QUIET = 10**9


def _run(program, problem=None) -> fd.Run:
    problem = problem if problem is not None else quadratic()
    return fd.train(program, problem.model, problem.data, evaluate_every=QUIET)


def _exact(alpha: float) -> fd.LocalSGD:
    """Steps that find the minimum of the bent loss: at once for the steeper node."""
    return fd.LocalSGD(steps=50, batch_size=None, lr=1 / (4 + alpha))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("rounds", [1, 2, 5, 12])
def test_it_is_its_recurrence(alpha: float, rounds: int) -> None:
    """Algorithm 1 of the paper in float64, the local minimum in closed form."""
    x, h, g = 0.0, 0.0, [0.0, 0.0]
    for _ in range(rounds):
        ends = [(a * b + g_i + alpha * x) / (a + alpha) for a, b, g_i in zip(CURVATURE, OPTIMUM, g, strict=True)]
        g = [g_i - alpha * (e - x) for g_i, e in zip(g, ends, strict=True)]
        h -= alpha * sum(e - x for e in ends) / 2
        x = sum(ends) / 2 - h / alpha
    run = _run(FedDyn(rounds, local=_exact(alpha), alpha=alpha))
    assert float(run.vector) == pytest.approx(x, abs=5e-6)
    assert float(run.checkpoint.tree["state"].h) == pytest.approx(h, abs=2e-5)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 5.0])
def test_it_reaches_the_optimum_where_fedavg_is_biased(alpha: float) -> None:
    assert float(_run(FedDyn(60, local=_exact(alpha), alpha=alpha)).vector) == pytest.approx(0.8, abs=1e-5)
    assert float(_run(FedAvg(30, local=_exact(alpha))).vector) == pytest.approx(0.5, abs=1e-3)


def test_few_steps_are_enough_for_the_optimum() -> None:
    """The minimum need not be found: where nothing moves any more, the gradients sum to zero."""
    local = fd.LocalSGD(steps=5, batch_size=None, lr=0.1)
    assert float(_run(FedDyn(200, local=local, alpha=1.0)).vector) == pytest.approx(0.8, abs=1e-5)
    assert float(_run(FedAvg(200, local=local)).vector) == pytest.approx(0.6925023465, abs=1e-5)


@pytest.mark.parametrize("cohort", [fd.Fraction(1.0), fd.Fixed(2), fd.Poisson(0.3)], ids=str)
@pytest.mark.parametrize("aggregate", [fd.Mean(weighted=False), fd.Mean()], ids=["alike", "rows"])
def test_h_is_the_mean_of_all_g_i(cohort, aggregate) -> None:
    problem = small()
    weights = torch.tensor(problem.data.sizes if aggregate.weighted else [1] * 6).double()
    for rounds in (1, 2, 4):
        program = FedDyn(rounds, cohort, fd.LocalSGD(epochs=2, batch_size=7, lr=0.05), aggregate, alpha=0.5)
        tree = _run(program, problem).checkpoint.tree
        h, states = tree["state"].h, tree["node_states"]
        zero = torch.zeros_like(h)
        g = torch.stack([states[n]["job"]["g"] if n in states else zero for n in range(6)])
        mean = (weights[:, None] * g.double()).sum(0) / weights.sum()
        torch.testing.assert_close(h.double(), mean, rtol=0, atol=1e-6)
    assert float(h.abs().max()) > 1e-3


def test_it_costs_what_fedavg_costs() -> None:
    problem = small()
    a, b = (_run(m(2, fd.Fixed(3)), problem) for m in (FedAvg, FedDyn))
    assert (a.ledger.bytes_up, a.ledger.bytes_down) == (b.ledger.bytes_up, b.ledger.bytes_down)
