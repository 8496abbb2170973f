"""Every program ends at the minimiser of the objective that it names.

Four nodes with 1, 1, 2 and 4 rows pull one weight towards 0, 2, 1 and 4, each row with (w - b)^2 / 2: all losses curve
alike, so that no number of local steps moves the fixed point. By rows the minimiser is 20 / 8, by nodes 7 / 4.
"""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import foedus as fd
from foedus import programs
from foedus.programs.discounts import Constant
from foedus.programs.weights import with_objective
from foedus.testing.problems import half_squares

ROWS, CENTRES = (1, 1, 2, 4), (0.0, 2.0, 1.0, 4.0)
MINIMISER = {"rows": 20 / 8, "nodes": 7 / 4}

LOCAL = fd.LocalSGD(steps=2, batch_size=None, lr=0.2)
ONE = fd.LocalSGD(steps=1, batch_size=None, lr=0.2)
COMPLETE = fd.topologies.Complete()
WHOLE = fd.transforms.Identity()


def problem():
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    node = [k for k, n in enumerate(ROWS) for _ in range(n)]
    x, y = torch.ones(len(node), 1), torch.tensor([[CENTRES[k]] for k in node])
    return fd.Model(module, half_squares), fd.data.arrays(x, y, node=node).split(fd.data.Natural())


EXACT = [
    fd.FedAvg(30, local=LOCAL),
    programs.FedProx(30, mu=0.5, local=LOCAL),
    programs.FedNova(30, local=LOCAL),
    programs.Scaffold(30, local=LOCAL),
    programs.FedDyn(20, alpha=1.0, local=fd.LocalSGD(steps=20, batch_size=None, lr=0.4)),
    programs.Hierarchical(30, local=LOCAL, edges=2),
    programs.IFCA(30, local=LOCAL, clusters=1),
    programs.FedPer(30, local=LOCAL, personal=()),
    programs.Ditto(30, local=LOCAL),
    programs.FineTune(30, local=LOCAL),
    fd.SyncSGD(40, lr=0.4),
    programs.FedBuff(30, 4, local=LOCAL),
    programs.Gossip(30, COMPLETE, local=LOCAL),
    programs.ClippedGossip(30, COMPLETE, tau=math.inf, local=LOCAL),
    programs.RobustGossip(30, COMPLETE, fd.Mean(weighted=False), local=LOCAL),
    programs.PushSum(30, COMPLETE, local=LOCAL),
    programs.Choco(30, COMPLETE, gamma=1.0, compress=WHOLE, local=LOCAL),
]
# One node after the other moves the model, or peers are not yet agreed: exact as the steps become short.
SHORT = [
    programs.FedAsync(100, mixing=0.06, discount=Constant(), local=LOCAL),
    programs.FedBuff(250, 1, Constant(), local=replace(LOCAL, lr=0.02)),
    programs.Gossip(100, fd.topologies.Ring(), lr=0.05, batch_size=None),
]
FIXED = [
    programs.QFFL(30, q=0.0, local=LOCAL),
    fd.Centralized(30, local=LOCAL),
    programs.ParameterServer(100, lr=0.03),
    programs.StaleSynchronous(100, lr=0.05),
    programs.EASGD(200, local=replace(ONE, lr=0.03), rate=0.05),
]


def train(program):
    return fd.train(program, *problem(), evaluate_every=10**9)


def name(program):
    return f"{type(program).__name__}-{program.rounds}"


@pytest.mark.parametrize("objective", ["rows", "nodes"])
@pytest.mark.parametrize("program", EXACT, ids=name)
def test_a_program_with_a_choice_ends_where_it_says(program, objective):
    chosen = with_objective(program, objective)
    assert chosen.objective == objective
    run = train(chosen)
    assert run.objective == objective
    assert float(run.vector) == pytest.approx(MINIMISER[objective], abs=1e-4)


@pytest.mark.parametrize("objective", ["rows", "nodes"])
@pytest.mark.parametrize("program", SHORT, ids=name)
def test_and_as_steps_become_short(program, objective):
    run = train(with_objective(program, objective))
    assert float(run.vector) == pytest.approx(MINIMISER[objective], abs=0.1)


@pytest.mark.parametrize("program", FIXED, ids=name)
def test_a_program_without_a_choice_ends_where_it_says(program):
    assert with_objective(program, "rows") == with_objective(program, "nodes") == program
    run = train(program)
    assert float(run.vector) == pytest.approx(MINIMISER[run.objective], abs=0.1)


def test_every_program_says_which_but_those_that_train_alone():
    classes = [
        c for n in programs.__all__ if "rounds" in getattr(c := getattr(programs, n), "__dataclass_fields__", {})
    ]
    assert len(classes) > 20
    assert {c.__name__ for c in classes if not hasattr(c, "objective")} == {"LocalOnly"}


@pytest.mark.parametrize(
    "program", [programs.Gossip, programs.PushSum, programs.Choco, programs.AdPsgd, programs.FedAsync]
)
def test_an_objective_that_there_is_not(program):
    with pytest.raises(fd.BadInput, match="nodes count by their rows"):
        program(rounds=1, objective="people")


@pytest.mark.parametrize(
    "program",
    [
        programs.Gossip(1, COMPLETE, local=ONE),
        programs.PushSum(1, COMPLETE, local=ONE),
        programs.Choco(1, COMPLETE, gamma=1.0, compress=WHOLE, local=ONE),
    ],
    ids=lambda p: type(p).__name__,
)
def test_statistics_of_batch_norm_are_means_whatever_nodes_count(program):
    """A longer step is one of the parameters: a variance that went three times as far could become negative."""
    torch.manual_seed(0)
    model = fd.Model(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)), loss="mse")
    node = [k for k, rows in enumerate((2, 8)) for _ in range(rows)]
    x = torch.randn(10, 2)
    data = fd.data.arrays(x, x.sum(1, keepdim=True), node=node).split(fd.data.Natural())
    rows, nodes = (fd.train(with_objective(program, o), model, data).vector for o in ("rows", "nodes"))
    p = model.layout.parameters
    assert not torch.equal(rows[:p], nodes[:p])
    assert torch.equal(rows[p:], nodes[p:])
