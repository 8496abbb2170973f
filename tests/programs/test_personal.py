"""FedPer, FedRep, FedBN, Ditto and fine-tuning: what is a node's own, what travels, and whose model is evaluated."""

import pytest
import torch
from torch import nn

import foedus as fd
from foedus.programs import Ditto, FedAvg, FedBN, FedPer, FedRep, FineTune
from foedus.testing import Problem, half_squares, quadratic, small

QUIET = 10**9
LOCAL = fd.LocalSGD(epochs=2, batch_size=7, lr=0.05)


def _train(program, problem: Problem, **options) -> fd.Run:
    return fd.train(program, problem.model, problem.data, **{"evaluate_every": QUIET, **options})


def _own(run: fd.Run, node: int) -> torch.Tensor:
    return run.checkpoint.tree["node_states"][node]["job"]["own"]


class _Sum(nn.Module):
    """The output is a + b, whatever goes in."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.a + self.b).expand(len(x), 1)


TARGETS = (1.0, 5.0)


def _sums() -> Problem:
    """Two nodes that want a + b to be 1 and 5."""
    data = fd.data.arrays(torch.zeros(2, 1), torch.tensor(TARGETS)[:, None], node=[0, 1]).split(fd.data.Natural())
    return Problem(fd.Model(_Sum(), half_squares), data)


@pytest.mark.parametrize("rounds", [1, 3])
def test_fedper_trains_all_together_and_averages_what_is_shared(rounds: int) -> None:
    a, b = 0.0, [0.0, 0.0]
    for _ in range(rounds):
        ends = []
        for k, target in enumerate(TARGETS):
            mine = a
            for _ in range(4):
                g = mine + b[k] - target
                mine, b[k] = mine - 0.1 * g, b[k] - 0.1 * g
            ends.append(mine)
        a = sum(ends) / 2
    local = fd.LocalSGD(steps=4, batch_size=None, lr=0.1)
    run = _train(FedPer(rounds, local=local, personal=("b",)), _sums())
    assert run.vector.tolist() == pytest.approx([a, 0.0], abs=1e-6)
    assert [float(_own(run, k)) for k in (0, 1)] == pytest.approx(b, abs=1e-6)
    assert run.ledger.bytes_up == run.ledger.bytes_down == rounds * 2 * 4


@pytest.mark.parametrize("head", [None, fd.LocalSGD(steps=3, batch_size=None, lr=0.2)], ids=["as local", "its own"])
def test_fedrep_fits_the_head_first(head) -> None:
    local = fd.LocalSGD(steps=4, batch_size=None, lr=0.1)
    a, b = 0.0, [0.0, 0.0]
    for _ in range(3):
        ends = []
        for k, target in enumerate(TARGETS):
            for _ in range((head or local).steps):
                b[k] -= (head or local).lr * (a + b[k] - target)
            mine = a
            for _ in range(4):
                mine -= 0.1 * (mine + b[k] - target)
            ends.append(mine)
        a = sum(ends) / 2
    run = _train(FedRep(3, local=local, personal=("b",), head=head), _sums())
    assert run.vector.tolist() == pytest.approx([a, 0.0], abs=1e-6)
    assert [float(_own(run, k)) for k in (0, 1)] == pytest.approx(b, abs=1e-6)


def test_what_no_shared_model_can_do() -> None:
    """Nodes that want different things each get it, where FedAvg ends in the middle."""
    local = fd.LocalSGD(steps=4, batch_size=None, lr=0.1)
    for program in (FedPer(40, local=local, personal=("b",)), FedRep(40, local=local, personal=("b",))):
        assert _train(program, _sums()).history[-1].loss < 1e-6
    assert _train(FedAvg(40, local=local), _sums()).history[-1].loss == pytest.approx(2.0, abs=1e-5)


def test_the_last_layer_is_a_nodes_own_unless_others_are_named() -> None:
    problem = small()
    last = 8 * 10 + 10
    d = problem.model.layout.size
    for program, own in (
        (FedPer(1, local=LOCAL), last),
        (FedRep(1, local=LOCAL), last),
        (FedPer(1, local=LOCAL, personal=("4.bias",)), 10),
        (FedPer(1, local=LOCAL, personal=["4.*", "1.mean"]), last + 8),
        (FedPer(1, local=LOCAL, personal=("*.bias",)), 8 + 10),
    ):
        run = _train(program, problem)
        assert run.ledger.bytes_up == run.ledger.bytes_down == 6 * 4 * (d - own)
        assert all(len(_own(run, k)) == own for k in range(6))


def test_accuracy_is_that_of_all_nodes_with_their_own_models() -> None:
    """Over the rows that they hold out: put together by hand from the shared vector and the node's own numbers."""
    digits = fd.data.load("digits", test=None)
    data = digits.split(fd.data.Dirichlet(alpha=0.5), nodes=4, seed=0, holdout=0.3)
    model = fd.Model(fd.models.mlp(64, 8, 10))
    run = fd.train(FedPer(2, fd.Fixed(3), LOCAL), model, data)
    right, rows, each = 0.0, 0, []
    for n in range(4):
        w = run.vector.clone()
        if n in run.checkpoint.tree["node_states"]:
            w[64 * 8 + 8 :] = _own(run, n)
        x, y = data.held_out(n).batch()
        hits = float((model.copy_of(w)(x).argmax(1) == y).sum())
        right, rows = right + hits, rows + len(y)
        each.append(hits / len(y))
    assert run.history[-1].accuracy == pytest.approx(right / rows)
    assert run.node_metrics["accuracy"] == pytest.approx(each)
    assert run.history[-1].metrics["node_mean_accuracy"] == pytest.approx(sum(each) / 4)
    assert run.best is not None


def test_a_stop_rule_sees_the_accuracy_of_the_nodes_models() -> None:
    problem = small()
    run = _train(FedPer(50, local=LOCAL), problem, evaluate_every=1, stop=fd.Target(0.4))
    assert run.status == "stopped"
    assert run.history[-1].accuracy >= 0.4 > run.history[-2].accuracy


# -- batch norms ---------------------------------------------------------------------------------------------------


def _normed() -> Problem:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 3, generator=generator) * 2 + torch.repeat_interleave(torch.tensor([0.0, 5.0]), 6)[:, None]
    data = fd.data.arrays(x, torch.arange(12) % 2, node=[0] * 6 + [1] * 6).split(fd.data.Natural())
    return Problem(fd.Model(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))), data)


def test_fedbn_keeps_parameters_and_statistics_of_batch_norms_at_the_node() -> None:
    problem = _normed()
    local = fd.LocalSGD(batch_size=None, lr=0.0)
    run = _train(FedBN(1, local=local), problem)
    assert run.ledger.bytes_up == run.ledger.bytes_down == 2 * 4 * 8  # the linear layer alone
    for n in (0, 1):
        x, _ = problem.data.rows(n).batch()
        expected = torch.cat([torch.ones(3), torch.zeros(3), 0.1 * x.mean(0), 0.9 + 0.1 * x.var(0)])
        torch.testing.assert_close(_own(run, n), expected, rtol=0, atol=1e-5)
    assert torch.equal(run.vector[-6:], problem.model.initial[-6:])


def test_a_batch_norm_without_parameters_and_one_at_the_top_are_found() -> None:
    x, y = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 2
    data = fd.data.arrays(x, y, node=[0] * 4 + [1] * 4).split(fd.data.Natural())
    bare = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, affine=False))
    assert _train(FedBN(1), Problem(fd.Model(bare), data)).ledger.bytes_up == 2 * 4 * 8
    with pytest.raises(fd.BadInput, match="LocalOnly"):
        _train(FedBN(1), Problem(fd.Model(nn.BatchNorm1d(3), lambda o, t: o.square().sum(1)), data))


# -- Ditto and fine-tuning -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [0.0, 0.5, 2.0, 20.0])
def test_dittos_own_models_lie_between_the_nodes_optimum_and_the_shared_model(lam: float) -> None:
    """Exactly minimised, v_k = (a_k b_k + lam w) / (a_k + lam), w being the model that round began with."""
    local = fd.LocalSGD(steps=5, batch_size=None, lr=0.1)
    exact = fd.LocalSGD(steps=150, batch_size=None, lr=1 / (4 + lam))
    before = float(_train(FedAvg(3, local=local), quadratic()).vector)
    run = _train(Ditto(4, local=local, lam=lam, personal=exact), quadratic(), evaluate_nodes=QUIET)
    expected = [(a * b + lam * before) / (a + lam) for a, b in ((1.0, 0.0), (4.0, 1.0))]
    assert [float(_own(run, k)) for k in (0, 1)] == pytest.approx(expected, abs=2e-5)
    losses = [v**2 / 2 if k == 0 else 2 * (v - 1) ** 2 for k, v in enumerate(expected)]
    assert run.node_metrics["loss"] == pytest.approx(losses, abs=1e-4)
    assert run.sha256 == _train(FedAvg(4, local=local), quadratic()).sha256


def test_dittos_model_goes_on_from_where_it_was() -> None:
    local = fd.LocalSGD(steps=2, batch_size=None, lr=0.1)
    w, v = 0.0, [0.0, 0.0]
    for _ in range(3):
        ends = []
        for k, (a, b) in enumerate(((1.0, 0.0), (4.0, 1.0))):
            y = w
            for _ in range(2):
                y -= 0.1 * a * (y - b)
                v[k] -= 0.1 * (a * (v[k] - b) + 0.7 * (v[k] - w))
            ends.append(y)
        w = sum(ends) / 2
    run = _train(Ditto(3, local=local, lam=0.7), quadratic())
    assert [float(_own(run, k)) for k in (0, 1)] == pytest.approx(v, abs=1e-6)
    assert float(run.vector) == pytest.approx(w, abs=1e-6)


def test_a_node_that_has_not_taken_part_has_the_shared_model() -> None:
    problem = small()
    run = _train(Ditto(1, fd.Fixed(2), LOCAL), problem, evaluate_nodes=1)
    plain = _train(FedAvg(1, fd.Fixed(2), LOCAL), problem, evaluate_nodes=1)
    took_part = set(run.checkpoint.tree["node_states"])
    assert len(took_part) == 2
    for n in range(6):
        same = run.node_metrics["loss"][n] == plain.node_metrics["loss"][n]
        assert same == (n not in took_part)


def test_fine_tuned_models_are_evaluated_and_nothing_else_changes() -> None:
    local, tune = fd.LocalSGD(steps=5, batch_size=None, lr=0.1), fd.LocalSGD(steps=3, batch_size=None, lr=0.05)
    run = _train(FineTune(4, local=local, tune=tune), quadratic(), evaluate_nodes=QUIET)
    plain = _train(FedAvg(4, local=local), quadratic(), evaluate_nodes=QUIET)
    assert run.sha256 == plain.sha256
    assert run.history[-1].loss == plain.history[-1].loss
    w = float(run.vector)
    tuned = [b + (w - b) * (1 - 0.05 * a) ** 3 for a, b in ((1.0, 0.0), (4.0, 1.0))]
    assert run.node_metrics["loss"] == pytest.approx([tuned[0] ** 2 / 2, 2 * (tuned[1] - 1) ** 2], abs=1e-5)
    assert run.ledger.total.as_dict() | {"wall_s": 0} == plain.ledger.total.as_dict() | {"wall_s": 0}


def test_personal_models_suit_their_nodes_better() -> None:
    data = fd.data.load("digits").split(fd.data.Dirichlet(alpha=0.1, min_rows=10), nodes=8, seed=0, holdout=0.25)
    model = fd.Model(fd.models.mlp(64, 16, 10))
    local = fd.LocalSGD(epochs=2, batch_size=10, lr=0.05)

    def mean(program) -> float:
        run = fd.train(program, model, data, evaluate_every=QUIET, evaluate_nodes=QUIET)
        return run.history[-1].metrics["node_mean_accuracy"]

    plain = mean(FedAvg(10, local=local))
    assert all(mean(m(10, local=local)) > plain + 0.02 for m in (Ditto, FedPer, FedRep, FineTune))
