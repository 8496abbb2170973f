"""SCAFFOLD against its recurrence on the quadratic, and its invariant whoever takes part."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.programs import Scaffold
from foedus.testing import quadratic, small

CURVATURE, OPTIMUM = (1.0, 4.0), (0.0, 1.0)
QUIET = 10**9


def _run(program, problem=None, **options) -> fd.Run:
    problem = problem if problem is not None else quadratic()
    return fd.train(program, problem.model, problem.data, **{"evaluate_every": QUIET, **options})


def _by_hand(rounds: int, lr: float, steps: int) -> list[float]:
    """Algorithm 1 of the paper, option II, in float64."""
    x, c, c_i, seen = 0.0, 0.0, [0.0, 0.0], []
    for _ in range(rounds):
        ends, news = [], []
        for a, b, mine in zip(CURVATURE, OPTIMUM, c_i, strict=True):
            y = x
            for _ in range(steps):
                y -= lr * (a * (y - b) - mine + c)
            ends.append(y)
            news.append(mine - c + (x - y) / (steps * lr))
        x = sum(ends) / 2
        c += sum(new - old for new, old in zip(news, c_i, strict=True)) / 2
        c_i = news
        seen.append(x)
    return seen


def test_the_published_vector() -> None:
    assert _by_hand(3, 0.1, 5) == pytest.approx([0.46112, 0.697709144, 0.785305409], abs=1e-9)
    local = fd.LocalSGD(steps=5, batch_size=None, lr=0.1)
    for rounds, x in enumerate([0.46112, 0.697709144, 0.785305409], 1):
        assert float(_run(Scaffold(rounds, local=local)).vector) == pytest.approx(x, abs=1e-6)
    assert float(_run(Scaffold(40, local=local)).vector) == pytest.approx(0.8, abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(lr=st.floats(0.02, 0.15), steps=st.integers(1, 8), rounds=st.integers(1, 6))
def test_it_is_its_recurrence(lr: float, steps: int, rounds: int) -> None:
    run = _run(Scaffold(rounds, local=fd.LocalSGD(steps=steps, batch_size=None, lr=lr)))
    assert float(run.vector) == pytest.approx(_by_hand(rounds, lr, steps)[-1], abs=2e-6)


IDS = ["all", "two", "poisson", "late"]


class _Late:
    """The first two nodes alone in the first two rounds, then all: the others join late."""

    def __init__(self) -> None:
        self.asked = 0

    def draw(self, nodes: int, key) -> tuple[int, ...]:
        self.asked += 1
        return (0, 1) if self.asked <= 2 else tuple(range(nodes))


@pytest.mark.parametrize("cohort", [fd.Fraction(1.0), fd.Fixed(2), fd.Poisson(0.3), _Late()], ids=IDS)
@pytest.mark.parametrize("aggregate", [fd.Mean(weighted=False), fd.Mean()], ids=["alike", "rows"])
def test_c_is_the_mean_of_all_c_i_after_every_round(cohort, aggregate) -> None:
    """Of those that never took part too: theirs is zero."""
    problem = small()
    weights = torch.tensor(problem.data.sizes if aggregate.weighted else [1] * 6).double()
    moved = []

    def look(state: fd.State, node_states: dict) -> None:
        zero = torch.zeros_like(state.c)
        c_i = torch.stack([node_states[n]["job"]["c"] if n in node_states else zero for n in range(6)])
        mean = (weights[:, None] * c_i.double()).sum(0) / weights.sum()
        torch.testing.assert_close(state.c.double(), mean, rtol=0, atol=2e-6)
        moved.append(float(mean.abs().max()))

    program = Scaffold(4, cohort, fd.LocalSGD(epochs=2, batch_size=7, lr=0.05), aggregate)
    run = _run(program, problem, stop=fd.AfterCommits(1))
    look(run.checkpoint.tree["state"], run.checkpoint.tree["node_states"])
    while len(run.history) < 4:
        run = _run(program, problem, resume=run, stop=fd.AfterCommits(len(run.history) + 1))
        look(run.checkpoint.tree["state"], run.checkpoint.tree["node_states"])
    assert max(moved) > 0.01


def test_k_is_the_number_of_local_steps() -> None:
    """Three copies of a row in batches of one, two epochs: six steps, whose mean gradient c_i is."""
    data = fd.data.arrays(
        torch.tensor([[1.0], [2.0], [2.0], [2.0]]), torch.tensor([[0.0], [2.0], [2.0], [2.0]]), node=[0, 1, 1, 1]
    ).split(fd.data.Natural())
    run = fd.train(Scaffold(1, local=fd.LocalSGD(epochs=2, batch_size=1, lr=0.05)), quadratic().model, data)
    for node, steps in ((0, 2), (1, 6)):
        a, b, y, gradients = CURVATURE[node], OPTIMUM[node], 0.0, []
        for _ in range(steps):
            gradients.append(a * (y - b))
            y -= 0.05 * gradients[-1]
        c_i = float(run.checkpoint.tree["node_states"][node]["job"]["c"])
        assert c_i == pytest.approx(sum(gradients) / steps, abs=1e-6)


@pytest.mark.parametrize("how", [{"momentum": 0.5}, {"weight_decay": 0.3}, {"proximal": 0.7}], ids=str)
def test_no_bias_with_other_local_steps(how: dict) -> None:
    """The c_i become the gradients at the optimum of what is then minimised; only weight decay moves that."""
    local = fd.LocalSGD(steps=5, batch_size=None, lr=0.05, **how)
    decay = how.get("weight_decay", 0.0)
    expected = sum(a * b for a, b in zip(CURVATURE, OPTIMUM, strict=True)) / sum(a + decay for a in CURVATURE)
    assert float(_run(Scaffold(120, local=local)).vector) == pytest.approx(expected, abs=2e-6)


def test_uneven_nodes_count_alike_unless_the_mean_is_by_rows() -> None:
    """Node 0 has the row of f1 once, node 1 that of f2 three times: optima 0.8 and (3 * 4) / (1 + 3 * 4)."""
    data = fd.data.arrays(
        torch.tensor([[1.0], [2.0], [2.0], [2.0]]), torch.tensor([[0.0], [2.0], [2.0], [2.0]]), node=[0, 1, 1, 1]
    ).split(fd.data.Natural())
    local = fd.LocalSGD(steps=5, batch_size=None, lr=0.05)
    for aggregate, x in ((fd.Mean(weighted=False), 0.8), (fd.Mean(), 12 / 13)):
        run = fd.train(Scaffold(150, local=local, aggregate=aggregate), quadratic().model, data, evaluate_every=QUIET)
        assert float(run.vector) == pytest.approx(x, abs=2e-6)


def test_steps_of_size_zero_teach_nothing() -> None:
    local = fd.LocalSGD(batch_size=None, lr=lambda t: 0.1 if t == 0 else 0.0)
    one, two = (_run(Scaffold(n, local=local)).checkpoint.tree for n in (1, 2))
    assert torch.equal(one["state"].c, two["state"].c)
    assert float(one["state"].c) != 0.0


def test_it_costs_twice_the_bytes_and_a_vector_a_node() -> None:
    problem = small()
    run = _run(Scaffold(2, fd.Fixed(3)), problem)
    layout = problem.model.layout
    assert run.ledger.bytes_up == run.ledger.bytes_down == 2 * 3 * 4 * (layout.size + layout.parameters)
    assert all(len(s["job"]["c"]) == layout.parameters for s in run.checkpoint.tree["node_states"].values())


def test_buffers_are_averaged() -> None:
    """Steps of size zero move the running mean alone, and it is that of FedAvg over nodes that count alike."""
    problem = small()
    local = fd.LocalSGD(batch_size=None, lr=0.0)
    a = _run(Scaffold(2, local=local), problem)
    b = _run(fd.FedAvg(2, local=local, aggregate=fd.Mean(weighted=False)), problem)
    assert a.sha256 == b.sha256
    assert not torch.equal(a.vector, problem.model.initial)
