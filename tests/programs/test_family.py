"""What all of FedAvg's relatives keep: the laws of programs, and where they are FedAvg itself."""

import math

import pytest
import torch
from torch import nn

import foedus as fd
from foedus import programs as p
from foedus.core.time.cost import Link
from foedus.optimizers import SGD
from foedus.testing import Problem, check_program, integers, small

LOCAL = fd.LocalSGD(epochs=2, batch_size=9, lr=0.05)
COHORT = fd.Fixed(3)
QUIET = 10**9

FAMILY = {
    "prox": p.FedProx(2, COHORT, LOCAL, mu=0.5),
    "scaffold": p.Scaffold(2, COHORT, LOCAL),
    "nova": p.FedNova(2, COHORT, LOCAL),
    "adagrad": p.FedAdagrad(2, COHORT, LOCAL),
    "adam": p.FedAdam(2, COHORT, LOCAL),
    "yogi": p.FedYogi(2, COHORT, LOCAL),
    "momentum": p.FedAvgM(2, COHORT, LOCAL),
    "dyn": p.FedDyn(2, COHORT, LOCAL),
    "qffl": p.QFFL(2, COHORT, LOCAL),
    "hierarchical": p.Hierarchical(2, COHORT, LOCAL, edges=2, edge_rounds=2),
    "ifca": p.IFCA(2, COHORT, LOCAL, clusters=2),
    "ditto": p.Ditto(2, COHORT, LOCAL),
    "per": p.FedPer(2, COHORT, LOCAL),
    "rep": p.FedRep(2, COHORT, LOCAL),
    "bn": p.FedBN(2, COHORT, LOCAL),
    "tune": p.FineTune(2, COHORT, LOCAL),
}
WITH_STATE = ("scaffold", "dyn", "ditto", "per", "rep", "bn")


def few() -> Problem:
    """Four nodes; a network with dropout, batch norm, a float buffer of another kind and an integer one."""
    problem = small(nodes=4, rows=80)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        normed = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), *list(problem.model.module)[1:])
    # A batch norm cannot train on one row.
    assert all(size % LOCAL.batch_size != 1 for size in problem.data.sizes)
    return Problem(fd.Model(normed), problem.data)


@pytest.mark.parametrize("name", FAMILY)
def test_the_laws_of_programs(name: str) -> None:
    problem = few()
    many = ("rep", "ifca")
    check_program(
        FAMILY[name],
        problem.model,
        problem.data,
        workers=(1, 2) if name in many else (1,),
        synchronous=name not in ("hierarchical",),
    )


@pytest.mark.parametrize("name", FAMILY)
def test_rounds_without_anybody_change_nothing(name: str) -> None:
    problem = few()
    program = FAMILY[name]
    nobody = type(program)(**{**vars(program), "cohort": fd.Poisson(1e-9)})
    run = fd.train(nobody, problem.model, problem.data, evaluate_every=QUIET)
    assert torch.equal(run.vector, problem.model.initial)
    assert run.ledger.total.jobs == 0
    assert run.checkpoint.tree["node_states"] == {}


# -- where they are FedAvg -----------------------------------------------------------------------------------------

ANYBODY = fd.Poisson(0.5)
IDENTITIES = {
    "prox": lambda *a: p.FedProx(*a, mu=0.0),
    "momentum": lambda *a: p.FedAvgM(*a, server=SGD(1.0, 0.0)),
    "qffl": lambda *a: p.QFFL(*a, q=0.0),
    "ifca": lambda *a: p.IFCA(*a, clusters=1),
    "ditto 0": lambda *a: p.Ditto(*a, lam=0.0),
    "ditto 3": lambda *a: p.Ditto(*a, lam=3.0, personal=fd.LocalSGD(steps=3, lr=0.2)),
    "per": lambda *a: p.FedPer(*a, personal=()),
    "rep": lambda *a: p.FedRep(*a, personal=()),
    "bn": lambda *a: p.FedBN(*a),
    "tune": lambda *a: p.FineTune(*a),
}


@pytest.mark.parametrize("name", IDENTITIES)
@pytest.mark.parametrize("cohort", [COHORT, ANYBODY], ids=["fixed", "poisson"])
def test_where_it_is_fedavg_to_the_bit(name: str, cohort) -> None:
    problem = small()  # dropout and buffers, but no batch norm
    args = (4, cohort, LOCAL)
    a, b = (fd.train(m(*args), problem.model, problem.data) for m in (p.FedAvg, IDENTITIES[name]))
    assert a.sha256 == b.sha256
    assert not torch.equal(a.vector, problem.model.initial)
    assert [(r.loss, r.accuracy, r.train_loss, r.bytes_up, r.bytes_down) for r in a.history] == [
        (r.loss, r.accuracy, r.train_loss, r.bytes_up, r.bytes_down) for r in b.history
    ]


@pytest.mark.parametrize(
    ("name", "aggregate"),
    [("FedAdam", fd.Mean()), ("FedYogi", fd.Median()), ("FedAdagrad", fd.Mean(weighted=False)), ("FedAvgM", fd.Mean())],
)
def test_a_server_optimiser_is_a_value_of_fedavg(name: str, aggregate) -> None:
    problem = small()
    program = getattr(p, name)(3, COHORT, LOCAL, aggregate)
    plain = p.FedAvg(3, COHORT, LOCAL, aggregate, server=program.server)
    assert fd.train(program, problem.model, problem.data).sha256 == fd.train(plain, problem.model, problem.data).sha256


# -- who is late or fails ------------------------------------------------------------------------------------------


class Slow:
    """Node k computes k + 1 seconds, its link takes none."""

    server_up = server_down = math.inf

    def link(self, node, key):
        return Link(0.0, math.inf, math.inf)

    def compute_seconds(self, node, work, flops, node_key, job_key):
        return 1.0 + node


@pytest.mark.parametrize("name", WITH_STATE)
def test_an_answer_that_was_not_used_leaves_the_node_as_it_was(name: str) -> None:
    problem = few()
    program = FAMILY[name]
    hasty = type(program)(**{**vars(program), "cohort": fd.Fraction(1.0), "until": fd.Quorum(2)})
    run = fd.train(hasty, problem.model, problem.data, runtime=fd.Simulation(network=Slow()), evaluate_every=QUIET)
    assert set(run.checkpoint.tree["node_states"]) == {0, 1}
    assert run.ledger.total.dropped == 4
    assert [r.cohort for r in run.history] == [2, 2]


def test_a_node_that_fails_leaves_the_control_variates_as_they_were() -> None:
    """Node 3's loss raises; the others go on, and c is still the mean of all c_i."""
    problem = small(nodes=4, rows=80)

    def loss(output, target):
        if len(target) == problem.data.size(3):
            raise RuntimeError("a broken disk")
        return nn.functional.cross_entropy(output, target, reduction="none")

    assert problem.data.sizes.count(problem.data.size(3)) == 1
    model = fd.Model(problem.model.module, loss)
    program = p.Scaffold(3, local=fd.LocalSGD(batch_size=None, lr=0.1), until=fd.All(failure="skip"))
    run = fd.train(program, model, problem.data, evaluate_every=QUIET)
    states = run.checkpoint.tree["node_states"]
    assert set(states) == {0, 1, 2}
    mean = torch.stack([s["job"]["c"] for s in states.values()]).sum(0) / 4
    torch.testing.assert_close(run.checkpoint.tree["state"].c, mean, rtol=0, atol=1e-6)


# -- other aggregators and transforms ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in FAMILY if n != "qffl"])
def test_robust_rules_and_compressors_have_their_place(name: str) -> None:
    problem = few()
    program = FAMILY[name]
    how = {"cohort": fd.Fraction(1.0), "aggregate": fd.Median(), "transforms": (fd.ErrorFeedback(fd.TopK(0.5)),)}
    run = fd.train(type(program)(**{**vars(program), **how}), problem.model, problem.data, evaluate_every=QUIET)
    assert torch.isfinite(run.vector).all()
    assert not torch.equal(run.vector, problem.model.initial)


@pytest.mark.parametrize("name", [n for n in FAMILY if n not in ("qffl", "hierarchical", "ifca")])
def test_a_median_of_equal_nodes_is_their_mean(name: str) -> None:
    """All nodes hold the same rows: a rule that is not a mean changes nothing, for all that it joins."""
    x, y = integers().data.rows(5).batch()
    data = fd.data.arrays(x.repeat(4, 1), y.repeat(4, 1), node=[k for k in range(4) for _ in x]).split(
        fd.data.Natural()
    )
    local = fd.LocalSGD(steps=4, batch_size=None, lr=0.05)
    module = fd.models.mlp(4, 3, 1)
    program = FAMILY[name]
    runs = [
        fd.train(
            type(program)(**{**vars(program), "cohort": fd.Fraction(1.0), "local": local, "aggregate": rule}),
            fd.Model(module, "mse"),
            data,
        )
        for rule in (fd.Mean(weighted=False), fd.Median())
    ]
    torch.testing.assert_close(runs[0].vector, runs[1].vector, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: p.FedProx(1, mu=-1.0), "mu"),
        (lambda: p.FedProx(1, local=fd.LocalSGD(proximal=1.0)), "leave local.proximal at 0"),
        (lambda: p.FedDyn(1, alpha=0.0), "alpha"),
        (lambda: p.FedDyn(1, local=fd.LocalSGD(proximal=1.0)), "leave local.proximal at 0"),
        (lambda: p.QFFL(1, q=math.nan), "q must be"),
        (lambda: p.QFFL(1, lipschitz=0.0), "lipschitz"),
        (lambda: p.QFFL(1, aggregate=fd.Median()), r"only Mean\(\)"),
        (lambda: p.QFFL(1, aggregate=fd.Mean(weighted=False)), r"only Mean\(\)"),
        (lambda: p.Hierarchical(1, edges=0), "edges"),
        (lambda: p.Hierarchical(1, edge_rounds=0), "edge_rounds"),
        (lambda: p.IFCA(1, clusters=0), "clusters"),
        (lambda: p.IFCA(1, spread=0.0), "spread"),
        (lambda: p.Ditto(1, lam=-1.0), "lam"),
        (lambda: p.Ditto(1, personal=fd.LocalSGD(proximal=1.0)), "leave personal.proximal at 0"),
        (lambda: p.FedPer(1, personal="head.*"), "tuple of names"),
        (lambda: p.FedRep(1, head=fd.LocalSGD(only=("0.*",))), "leave local.only and head.only empty"),
        (lambda: _run(p.FedPer(1, personal=("0.*", "4.wieght"))), r"did you mean '4\.weight'"),
        (lambda: _run(p.FedPer(1, personal=("4",))), r"did you mean '4\.\*'"),
        (lambda: _run(p.FedPer(1, personal=("*",))), "LocalOnly"),
        (lambda: _run(p.Hierarchical(1, edges=7)), "lower edges"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(make, says: str) -> None:
    with pytest.raises(fd.BadInput, match=says) as e:
        make()
    assert "\n" not in str(e.value)


def _run(program) -> None:
    problem = small()
    fd.train(program, problem.model, problem.data)
