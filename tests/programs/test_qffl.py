"""q-FFL against Algorithm 2 of the paper, and fairness as its objective says."""

import statistics

import pytest
import torch

import foedus as fd
from foedus.programs import QFFL
from foedus.testing import quadratic, small

CURVATURE, OPTIMUM = (1.0, 4.0), (0.0, 1.0)


def _losses(x: float) -> list[float]:
    return [a * (x - b) ** 2 / 2 for a, b in zip(CURVATURE, OPTIMUM, strict=True)]


@pytest.mark.parametrize("q", [0.0, 0.2, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("steps", [1, 4])
def test_it_is_algorithm_2(q: float, steps: int) -> None:
    lr, x = 0.1, 0.3
    problem = quadratic(x)
    for _ in range(3):
        up, down = 0.0, 0.0
        for a, b, loss in zip(CURVATURE, OPTIMUM, _losses(x), strict=True):
            end = b + (x - b) * (1 - lr * a) ** steps
            dw = (x - end) / lr
            up += loss**q * dw
            down += q * loss ** (q - 1) * dw**2 + loss**q / lr
        x -= up / down
    program = QFFL(3, local=fd.LocalSGD(steps=steps, batch_size=None, lr=lr), q=q)
    assert float(fd.train(program, problem.model, problem.data).vector) == pytest.approx(x, abs=2e-6)


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0, 3.0])
def test_it_minimises_its_objective(q: float) -> None:
    """One step of the full gradient stops where sum F_k^q F_k' is zero; the larger q, the more alike the F_k."""
    program = QFFL(150, local=fd.LocalSGD(batch_size=None, lr=0.1), q=q)
    x = float(fd.train(program, quadratic(0.3).model, quadratic().data, evaluate_every=10**9).vector)
    slope = [a * (x - b) for a, b in zip(CURVATURE, OPTIMUM, strict=True)]
    pulls = [loss**q * g for loss, g in zip(_losses(x), slope, strict=True)]
    assert abs(sum(pulls)) < 2e-3 * max(map(abs, pulls))
    gaps = [abs(a - b) for a, b in [_losses(0.8), _losses(x)]]
    assert (gaps[1] == pytest.approx(gaps[0], abs=1e-5)) if q == 0 else (gaps[1] < gaps[0])


def test_losses_of_nodes_come_closer_with_q() -> None:
    data = fd.data.load("digits").split(fd.data.Dirichlet(alpha=0.3), nodes=5, seed=1)
    model, local = fd.Model(fd.models.logistic(64, 10)), fd.LocalSGD(batch_size=None, lr=0.3)
    spreads = []
    for q in (0.0, 1.0, 5.0):
        run = fd.train(QFFL(30, local=local, q=q), model, data, evaluate_every=10**9, evaluate_nodes=10**9)
        spreads.append(statistics.pstdev(run.node_metrics["loss"]))
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[2] < 0.7 * spreads[0]


def test_a_larger_l_means_shorter_steps() -> None:
    local = fd.LocalSGD(steps=4, batch_size=None, lr=0.1)
    ends = [
        float(fd.train(QFFL(1, local=local, q=1.0, lipschitz=c), quadratic(0.3).model, quadratic().data).vector)
        for c in (1.0, 10.0, None, 100.0)
    ]
    assert ends[1] == ends[2]  # 1 / lr
    assert [abs(e - 0.3) for e in ends] == sorted((abs(e - 0.3) for e in ends), reverse=True)


def test_a_loss_of_zero_is_no_error() -> None:
    for q in (0.0, 0.5, 2.0):
        run = fd.train(QFFL(2, local=fd.LocalSGD(batch_size=None, lr=0.1), q=q), quadratic().model, quadratic().data)
        assert torch.isfinite(run.vector).all()
        assert 0 < float(run.vector) < 1


def test_rows_count_and_the_pass_for_the_loss_is_in_the_books() -> None:
    problem = small()
    program = QFFL(1, local=fd.LocalSGD(steps=3, batch_size=5), q=1.0)
    assert program.job(0).work(30) == fd.Work(trained=15, evaluated=30)
    run = fd.train(program, problem.model, problem.data)
    assert run.ledger.bytes_up == 6 * 4 * problem.model.layout.size
