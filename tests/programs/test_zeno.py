"""Zeno++: its score by hand, its steps in Python, who is refused, the root set, laws."""

import math

import pytest
import torch

import foedus as fd
from foedus.programs import ZenoPlusPlus
from foedus.programs.zeno import as_long, score
from foedus.testing import check_program, half_squares

MOBILE = fd.Simulation(network=fd.network.MOBILE)


@pytest.fixture
def plane():
    """``plane(targets)``: node k holds the loss ||w - target_k||^2 / 4, the root set that of target 0, and w begins at
    (3, 2). Everybody has two rows, but node 0 four.
    """

    def make(targets):
        x = torch.eye(2).repeat(len(targets), 1)
        y = torch.tensor(targets).reshape(-1, 1)
        node = [k for k in range(len(targets)) for _ in range(2)]
        module = torch.nn.Linear(2, 1, bias=False)
        module.weight.data.copy_(torch.tensor([[3.0, 2.0]]))
        data = fd.data.arrays(torch.cat([x, x[:2]]), torch.cat([y, y[:2]]), node=[*node, 0, 0]).split(fd.data.Natural())
        data.root_index = torch.tensor([len(y), len(y) + 1])
        return fd.Model(module, half_squares), data

    return make


def test_the_score_by_hand():
    v, g = torch.tensor([0.0, 5.0]), torch.tensor([30.0, 40.0])
    step = as_long(g, v)
    assert step.tolist() == [3.0, 4.0]
    # 0.5 (0 * 3 + 5 * 4) - 0.25 * 25
    assert score(step, v, lr=0.5, rho=0.25) == 3.75
    assert as_long(torch.zeros(2), v).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("lazy", [1, 2, 5])
@pytest.mark.parametrize(("rho", "epsilon"), [(0.001, 0.0), (0.08, 0.0), (0.08, 0.4)])
def test_steps_are_those_of_the_algorithm(plane, runtimes, lazy, rho, epsilon):
    targets, lr, steps = [[0.0, 0.0], [1.0, -1.0], [6.0, 4.0], [3.0, 9.0]], 0.1, 6
    model, data = plane(targets)
    run = fd.train(ZenoPlusPlus(steps, lr, rho=rho, epsilon=epsilon, lazy=lazy), model, data, runtime=runtimes.even)
    rows = [4, 2, 2, 2]  # node 0 has its rows twice
    w, used, heard, accepted = torch.tensor([3.0, 2.0], dtype=torch.float64), 0, [], []
    v, free = w / 2, 2.0  # the server's own two rows take it two seconds
    at_work = [(free + n, k, w) for k, n in enumerate(rows)]  # when done, node, given
    while len(heard) < 4 * steps:
        at_work.sort(key=lambda x: x[:2])
        arrived, k, given = at_work.pop(0)
        now = max(arrived, free)
        g = (given - torch.tensor(targets[k], dtype=torch.float64)) / 2
        g = g * v.norm() / g.norm()
        heard.append(lr * float(v @ g) - rho * float(g @ g) >= -lr * epsilon)
        if heard[-1]:
            w, used = w - lr * g, used + 1
            if used % lazy == 0:
                v, free = w / 2, now + 2.0
        at_work.append((max(now, free) + rows[k], k, w))
        if len(heard) % 4 == 0:
            accepted.append(sum(heard[-4:]) / 4)
    torch.testing.assert_close(run.vector.double(), w, rtol=1e-5, atol=1e-6)
    assert [r.metrics["accepted"] for r in run.history] == accepted
    assert 0 < sum(heard) < len(heard) or rho < 0.08


def test_more_than_half_may_lie(halves, liars):
    """Ten of sixteen flip signs: every lie is refused, and the digits are learned all the same."""
    digits = fd.data.load("digits")
    data = digits.split(fd.data.IID(), nodes=16, seed=0, root=100)
    bad = tuple(range(10))

    def run(factor, **more):
        torch.manual_seed(0)
        model = fd.Model(fd.models.mlp(64, 32, 10))
        program = ZenoPlusPlus(25, lr=0.1, batch_size=32, **more)
        return fd.train(program, model, data, policy=liars(bad, factor), runtime=MOBILE, evaluate_every=25)

    lied = run(-3.0)
    assert lied.history[-1].accuracy > 0.75
    told = {s.node: s for s in lied.suspects}
    assert min(told[n].left_out for n in bad) == 1.0
    assert max(told[n].left_out for n in range(10, 16)) < 0.2
    assert {s.node for s in lied.suspects[:10]} == set(bad)
    assert run(-3.0, epsilon=1e6).history[-1].accuracy < 0.2  # nothing is refused
    # How long a gradient is means nothing: it is made as long as the server's own.
    assert run(1e6).vector.norm() < 100


def test_the_root_set_is_a_yardstick_and_no_node(plane, runtimes):
    model, data = plane([[0.0, 0.0], [1.0, -1.0]])
    run = fd.train(ZenoPlusPlus(3), model, data, runtime=runtimes.even, per_node=True)
    assert [r.cohort for r in run.history] == [2, 2, 2]
    assert set(run.history[-1].suspects) == {0, 1}
    assert run.ledger.total.messages_up == sum(run.ledger.nodes[n].messages_up for n in (0, 1))
    data.root_index = None
    with pytest.raises(fd.BadInput, match=r"needs a root data set.*root=100"):
        fd.train(ZenoPlusPlus(1), model, data)


def test_gradients_that_are_none_are_left_out(plane, runtimes, liars):
    model, data = plane([[0.0, 0.0], [1.0, -1.0], [1.0, 1.0]])
    run = fd.train(ZenoPlusPlus(3), model, data, runtime=runtimes.even, policy=liars((1,), math.nan))
    assert run.suspects[0].node == 1
    assert run.history[0].suspects[1] == (1.0, math.inf)


@pytest.mark.parametrize(
    "program",
    [
        ZenoPlusPlus(4, batch_size=5, lazy=3, root_batch_size=8),
        ZenoPlusPlus(4, batch_size=5, commit_every=3, transforms=(fd.QSGD(4),)),
    ],
)
def test_laws(program):
    data = fd.data.load("iris").split(fd.data.IID(), nodes=5, seed=0, root=20)
    check_program(program, fd.Model(fd.models.mlp(4, 3)), data, runtime=MOBILE, workers=(1,))


def test_what_does_not_fit():
    for settings, why in (
        ({"rho": -1.0}, "rho must be"),
        ({"epsilon": math.nan}, "epsilon must be"),
        ({"lazy": 0}, "lazy is a number of steps"),
        ({"root_batch_size": 0}, "batch_size"),
        ({"commit_every": 0}, "commit_every"),
    ):
        with pytest.raises(fd.BadInput, match=why):
            ZenoPlusPlus(1, **settings)
