"""Synchronous descent is serial descent on the union, and FedAvg of one full-batch step is synchronous descent."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.data import Natural, arrays
from foedus.jobs import InverseTime
from foedus.testing import Problem, half_squares, integers

UNEVEN = [(1, 1, 2, 4, 8, 16), (3, 5, 7, 17), (32,), (1,) * 32, (31, 1)]


def _serial(problem: Problem, rounds: int, lr: Fraction) -> list[Fraction]:
    """Gradient descent on all rows in exact rational numbers, one row after the other."""
    rows = [[Fraction(v) for v in r] for r in problem.data.x.tolist()]
    targets = [Fraction(v) for (v,) in problem.data.y.tolist()]
    w = [Fraction(v) for v in problem.model.initial.tolist()]
    for _ in range(rounds):
        g = [Fraction(0)] * len(w)
        for x, y in zip(rows, targets, strict=True):
            error = sum((a * b for a, b in zip(x, w, strict=True)), Fraction(0)) - y
            g = [a + error * b for a, b in zip(g, x, strict=True)]
        w = [a - lr * b / len(rows) for a, b in zip(w, g, strict=True)]
    return w


def _exactly(w: list[Fraction], vector: torch.Tensor) -> None:
    assert [Fraction(v) for v in vector.tolist()] == w


@pytest.mark.parametrize("sizes", UNEVEN)
@pytest.mark.parametrize("rounds", [1, 2, 10])
def test_sync_sgd_is_serial_descent_to_the_bit(sizes: tuple[int, ...], rounds: int) -> None:
    problem = integers(sizes)
    run = fd.train(fd.SyncSGD(rounds, lr=0.5), problem.model, problem.data)
    _exactly(_serial(problem, rounds, Fraction(1, 2)), run.vector)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_sync_sgd_is_serial_descent_on_any_small_integers(data: st.DataObject) -> None:
    # Sixteen rows of -1, 0, 1 in three columns: a round costs five binary digits, so two stay far below 2^24.
    numbers = np.array(data.draw(st.lists(st.integers(-1, 1), min_size=48, max_size=48)), dtype=float).reshape(16, 3)
    y = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=16, max_size=16)), dtype=float)[:, None]
    node = data.draw(st.lists(st.integers(0, 3), min_size=16, max_size=16))
    problem = _regression(numbers, y, node)
    run = fd.train(fd.SyncSGD(2, lr=0.5), problem.model, problem.data)
    _exactly(_serial(problem, 2, Fraction(1, 2)), run.vector)


def _regression(x: np.ndarray, y: np.ndarray, node: list[int]) -> Problem:
    module = torch.nn.Linear(x.shape[1], 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    return Problem(fd.Model(module, half_squares), arrays(x, y, node=node).split(Natural()))


def test_weighting_matters() -> None:
    """The identity would hold for wrong weights too if the nodes were alike; they are not."""
    problem = integers((3, 5, 7, 17))
    run = fd.train(fd.SyncSGD(3, lr=0.5, aggregate=fd.Mean(weighted=False)), problem.model, problem.data)
    assert [Fraction(v) for v in run.vector.tolist()] != _serial(problem, 3, Fraction(1, 2))


def _digits(nodes: int = 7) -> Problem:
    return Problem(
        fd.Model(fd.models.mlp(64, 16, 10)), fd.data.load("digits").split(fd.data.Dirichlet(0.3), nodes=nodes, seed=1)
    )


def test_sync_sgd_is_serial_descent_on_digits() -> None:
    problem = _digits()
    run = fd.train(fd.SyncSGD(6, lr=InverseTime(0.5, 0.5)), problem.model, problem.data)
    w = problem.model.initial.double()
    module = fd.models.mlp(64, 16, 10).double()
    for t in range(6):
        torch.nn.utils.vector_to_parameters(w, module.parameters())
        rows = problem.data.index.long()
        loss = torch.nn.functional.cross_entropy(module(problem.data.x[rows].double()), problem.data.y[rows])
        g = torch.cat([p.flatten() for p in torch.autograd.grad(loss, list(module.parameters()))])
        w = w - 0.5 / (1 + 0.5 * t) * g
    torch.testing.assert_close(run.vector.double(), w, rtol=0, atol=1e-6)


FULL = fd.LocalSGD(epochs=1, batch_size=None, lr=0.5)


def test_fedavg_of_one_full_batch_is_sync_sgd_on_digits() -> None:
    problem = _digits()
    a = fd.train(fd.FedAvg(8, local=FULL), problem.model, problem.data)
    b = fd.train(fd.SyncSGD(8, lr=0.5), problem.model, problem.data)
    torch.testing.assert_close(a.vector, b.vector, rtol=0, atol=1e-6)
    assert not torch.equal(a.vector, problem.model.initial)


def test_fedavg_of_one_full_batch_is_sync_sgd_to_the_bit_on_dyadic_numbers() -> None:
    problem = integers()
    a = fd.train(fd.FedAvg(8, local=FULL), problem.model, problem.data)
    b = fd.train(fd.SyncSGD(8, lr=0.5), problem.model, problem.data)
    assert a.sha256 == b.sha256
    _exactly(_serial(problem, 8, Fraction(1, 2)), a.vector)


def test_one_node_is_the_centralised_run() -> None:
    problem = integers((32,))
    local = fd.LocalSGD(epochs=2, batch_size=None, lr=0.5)
    a = fd.train(fd.FedAvg(3, local=local), problem.model, problem.data)
    b = fd.train(fd.Centralized(3, local=local), problem.model, problem.data)
    assert a.sha256 == b.sha256
    assert b.ledger.bytes_up == b.ledger.bytes_down == b.ledger.messages == 0
