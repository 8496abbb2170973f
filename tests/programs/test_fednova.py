"""FedNova: where it is FedAvg, and where it does not follow whoever takes the most steps."""

import pytest
import torch

import foedus as fd
from foedus.programs import FedAvg, FedNova
from foedus.testing import quadratic, small

CURVATURE, OPTIMUM = (1.0, 4.0), (0.0, 1.0)
ALIKE = fd.Mean(weighted=False)
QUIET = 10**9


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
@pytest.mark.parametrize("cohort", [fd.Fraction(1.0), fd.Poisson(0.5)], ids=["all", "poisson"])
def test_equal_steps_are_fedavg_to_the_bit(steps: int, cohort) -> None:
    """To the bit, where a division by the number of steps loses nothing."""
    problem = small()
    local = fd.LocalSGD(steps=steps, batch_size=5, lr=0.1)
    a, b = (fd.train(m(3, cohort, local), problem.model, problem.data) for m in (FedAvg, FedNova))
    assert a.sha256 == b.sha256
    assert a.ledger.bytes_up == b.ledger.bytes_up


@pytest.mark.parametrize("aggregate", [fd.Mean(), ALIKE, fd.Median()], ids=["rows", "alike", "median"])
@pytest.mark.parametrize("how", [{"steps": 3}, {"steps": 5, "momentum": 0.9}, {"steps": 5, "proximal": 0.5}], ids=str)
def test_equal_steps_are_fedavg(how: dict, aggregate) -> None:
    problem = small()
    local = fd.LocalSGD(**how, batch_size=5, lr=0.1)
    runs = [
        fd.train(m(3, fd.Fixed(4), local, aggregate), problem.model, problem.data, evaluate_every=QUIET)
        for m in (FedAvg, FedNova)
    ]
    torch.testing.assert_close(runs[0].vector, runs[1].vector, rtol=0, atol=2e-6)


def _uneven(program) -> float:
    """Two copies of node 1's row and ten of node 2's, in batches of one: they take 2 and 10 steps."""
    x = torch.tensor([[1.0]] * 2 + [[2.0]] * 10)
    y = torch.tensor([[0.0]] * 2 + [[2.0]] * 10)
    data = fd.data.arrays(x, y, node=[0] * 2 + [1] * 10).split(fd.data.Natural())
    return float(fd.train(program, quadratic(0.8).model, data, evaluate_every=QUIET).vector)


def _fixed_point(lr: float, normalized: bool) -> float:
    gain = [(1 - (1 - lr * a) ** n) / (n if normalized else 1) for a, n in zip(CURVATURE, (2, 10), strict=True)]
    return sum(g * b for g, b in zip(gain, OPTIMUM, strict=True)) / sum(gain)


@pytest.mark.parametrize("lr", [0.1, 0.04, 0.02])
def test_fixed_points_with_2_and_10_steps(lr: float) -> None:
    local, rounds = fd.LocalSGD(batch_size=1, lr=lr), int(4 / lr) + 20
    assert _uneven(FedNova(rounds, local=local, aggregate=ALIKE)) == pytest.approx(_fixed_point(lr, True), abs=3e-6)
    assert _uneven(FedAvg(rounds, local=local, aggregate=ALIKE)) == pytest.approx(_fixed_point(lr, False), abs=3e-6)


def test_small_steps_lead_to_the_optimum_and_those_of_fedavg_do_not() -> None:
    assert _fixed_point(1e-7, True) == pytest.approx(0.8, abs=1e-6)
    assert _fixed_point(1e-7, False) == pytest.approx(0.952381, abs=1e-6)
    local = fd.LocalSGD(batch_size=1, lr=0.004)
    assert _uneven(FedNova(500, local=local, aggregate=ALIKE)) == pytest.approx(0.8, abs=0.015)
    assert _uneven(FedAvg(500, local=local, aggregate=ALIKE)) == pytest.approx(0.952381, abs=0.005)


def test_the_server_goes_the_mean_number_of_steps_of_those_that_answered() -> None:
    """By hand, with rows that count: 2 and 10 steps from 2 and 10 rows."""
    lr, w = 0.02, 0.8
    p = (2 / 12, 10 / 12)
    ends = [b + (w - b) * (1 - lr * a) ** n for a, b, n in zip(CURVATURE, OPTIMUM, (2, 10), strict=True)]
    tau = p[0] * 2 + p[1] * 10
    expected = w + tau * sum(p_k * (e - w) / n for p_k, e, n in zip(p, ends, (2, 10), strict=True))
    assert _uneven(FedNova(1, local=fd.LocalSGD(batch_size=1, lr=lr))) == pytest.approx(expected, abs=1e-6)
