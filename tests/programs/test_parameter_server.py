"""ParameterServer: its rates, its commits, and workers that fail."""

import itertools

import pytest
import torch

import foedus as fd
from foedus.programs import Constant, DelayCompensation, Hinge, ParameterServer, Polynomial, StalenessAware
from foedus.testing import check_program, integers, small

MOBILE = fd.Simulation(network=fd.network.MOBILE)


@pytest.mark.parametrize(
    "program",
    [
        ParameterServer(3, batch_size=4),
        ParameterServer(3, batch_size=4, commit_every=4, discount=StalenessAware()),
        ParameterServer(3, batch_size=4, compensation=DelayCompensation(2.0, decay=0.95), discount=Hinge(1.0, 2)),
        ParameterServer(3, batch_size=4, lr=fd.jobs.InverseTime(0.3), transforms=(fd.ErrorFeedback(fd.TopK(0.3)),)),
    ],
    ids=["plain", "aware", "compensated", "compressed"],
)
def test_it_keeps_the_laws_of_programs(program) -> None:
    run = check_program(program, runtime=MOBILE, workers=(1,))
    assert sum(run.staleness.values()) == 3 * (program.commit_every or 6)
    assert [r.cohort for r in run.history] == [program.commit_every or 6] * 3


def test_one_worker_is_descent(runtimes) -> None:
    """One worker holds all rows, so that an update is a round of SyncSGD."""
    problem = integers((32,))
    a = fd.train(ParameterServer(6, lr=0.5, commit_every=1), problem.model, problem.data, runtime=runtimes.random)
    b = fd.train(fd.SyncSGD(6, lr=0.5), problem.model, problem.data)
    assert a.sha256 == b.sha256


def test_updates_of_the_first_moment_add_up_to_a_synchronous_round(runtimes) -> None:
    """All gradients at the first version: n updates with rate lr are one synchronous round with rate n lr."""
    problem = integers()  # uneven nodes, which must be weighted
    n = len(problem.data.sizes)

    class AtOnce(ParameterServer):
        async def __call__(self, fed):
            s = await fed.begin(lambda w: fd.State(w=w))
            answers = await fed.map(fd.Gradient(), {"w": s.w}, range(fed.nodes))
            for u in answers:
                s = s.replace(w=s.w - self.lr * u["gradient"] / (sum(fed.sizes) / fed.nodes))
            await fed.commit(s)
            return s.w

    a = fd.train(AtOnce(1, lr=0.5 / 8), problem.model, problem.data)
    b = fd.train(fd.SyncSGD(1, lr=n * 0.5 / 8), problem.model, problem.data)
    assert torch.allclose(a.vector, b.vector, atol=1e-6)
    # In the real program everyone's first gradient is one of the first version.
    c = fd.train(ParameterServer(1, lr=0.5 / 8), problem.model, problem.data)
    assert torch.allclose(c.vector, b.vector, atol=1e-6)


def test_buffers_move_in_an_epoch_as_in_a_synchronous_round() -> None:
    problem = small()
    p = problem.model.layout.parameters
    a = fd.train(ParameterServer(1, lr=0.0), problem.model, problem.data).vector
    b = fd.train(fd.SyncSGD(1, lr=0.0), problem.model, problem.data).vector
    assert torch.equal(a[:p], b[:p])
    assert not torch.equal(a[p:], problem.model.initial[p:])
    assert torch.allclose(a[p:], b[p:], atol=1e-6)


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_the_compensated_gradient_is_that_of_the_formula(strength: float) -> None:
    g, w, sent = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.0, 3.0, 0.0])
    came, _ = DelayCompensation(strength)(g, w, sent, None)
    assert came.tolist() == [1.0 + strength, -2.0 - 8 * strength, 3.0]
    adaptive = DelayCompensation(strength, decay=0.75)
    m = adaptive.init(g)
    for _ in range(2):
        came, m = adaptive(g, w, sent, m)
    square = torch.tensor([1.0, 4.0, 9.0]) * (0.25 * 0.75 + 0.25)
    assert torch.allclose(m, square)
    assert torch.allclose(came, g + strength * g * g * (w - sent) / torch.sqrt(square + 1e-7))


@pytest.mark.parametrize("discount", [Constant(), StalenessAware(), Polynomial(0.5), Polynomial(0.0), Hinge(2.0, 3)])
def test_discounts_start_at_one_and_never_grow(discount) -> None:
    values = [discount.factor(k) for k in range(50)]
    assert values[0] == 1.0
    assert all(0 < b <= a for a, b in itertools.pairwise(values))


def test_a_discount_shrinks_the_step(runtimes) -> None:
    """Node 1 answers when node 0 has: its step is half as long with (1 + 1)^-1."""
    data = fd.data.arrays(torch.ones(2, 1), torch.tensor([[1.0], [1.0]]), node=[0, 1]).split(fd.data.Natural())
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    model = fd.Model(module, fd.testing.half_squares)
    for discount, x in ((Constant(), 0.5), (Polynomial(1.0), 0.375)):
        run = fd.train(ParameterServer(1, lr=0.25, discount=discount), model, data, runtime=runtimes.even)
        assert float(run.vector) == x


def test_every_update_is_that_of_the_formula(runtimes) -> None:
    """Schedule, discount and adaptive compensation, step by step in Python, for equal workers one after the other."""
    targets, schedule, decay, strength = [1.0, -2.0, 4.0], fd.jobs.InverseTime(0.4, 0.5), 0.75, 0.5
    data = fd.data.arrays(torch.ones(3, 1), torch.tensor(targets)[:, None], node=[0, 1, 2]).split(fd.data.Natural())
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    program = ParameterServer(
        4, schedule, None, Polynomial(0.5), DelayCompensation(strength, decay), commit_every=4
    )  # fmt: skip
    run = fd.train(program, fd.Model(module, fd.testing.half_squares), data, runtime=runtimes.even)
    w, mean_square, sent, since = 0.0, 0.0, [0.0] * 3, [0] * 3
    for version in range(16):
        k = version % 3
        g = sent[k] - targets[k]
        mean_square = decay * mean_square + (1 - decay) * g * g
        g += strength * g * g * (w - sent[k]) / (mean_square + 1e-7) ** 0.5
        w -= schedule(version // 4) * (1 + version - since[k]) ** -0.5 * g
        sent[k], since[k] = w, version + 1
    assert float(run.vector) == pytest.approx(w, abs=1e-5)


def test_skip_goes_on_without_the_failed_and_resumes_so(with_failures) -> None:
    problem = small()
    program = with_failures(ParameterServer(5, batch_size=4, failure="skip"), (2, 4), after=1)
    run = check_program(program, problem.model, problem.data, MOBILE, workers=(1,))
    assert {n for n, c in run.ledger.nodes.items() if c.dropped} == {2, 4}
    assert all(run.ledger.nodes[n].dropped == 1 for n in (2, 4))
    with pytest.raises(fd.NodeFailed, match=r"node (2|4) failed"):
        fd.train(with_failures(ParameterServer(5), (2, 4)), problem.model, problem.data)


def test_when_all_have_failed_it_says_so(with_failures) -> None:
    problem = small()
    program = with_failures(ParameterServer(9, batch_size=4, failure="skip"), tuple(range(6)), after=2)
    with pytest.raises(fd.NodeFailed, match=r"too few nodes are left.*6 have failed.*ZeroDivisionError") as e:
        fd.train(program, problem.model, problem.data)
    assert len(e.value.run.history) == 2
    assert "Traceback" in e.value.log


def test_stop_rules_end_it(runtimes) -> None:
    problem = small()
    run = fd.train(ParameterServer(50, batch_size=4), problem.model, problem.data, stop=fd.Budget(epochs=0.5))
    assert run.status == "stopped"
    assert 0.5 <= run.history[-1].epochs < 0.7


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ParameterServer(1, lr=-1.0), "lr must be"),
        (lambda: ParameterServer(1, lr=float("nan")), "lr must be"),
        (lambda: ParameterServer(1, batch_size=0), "batch_size"),
        (lambda: ParameterServer(1, commit_every=0), "commit_every"),
        (lambda: DelayCompensation(-0.1), "strength"),
        (lambda: DelayCompensation(0.1, decay=1.0), "decay"),
        (lambda: Polynomial(-1.0), "power"),
        (lambda: Hinge(-1.0, 2), "slope"),
        (lambda: Hinge(1.0, -2), "grace"),
    ],
)
def test_bad_values_are_refused_in_one_line(make, says: str) -> None:
    with pytest.raises(fd.BadInput, match=says) as e:
        make()
    assert "\n" not in str(e.value)


def test_a_rate_too_high_diverges_with_advice() -> None:
    problem = small()
    with pytest.raises(fd.Diverged, match=r"[Ll]ower"):
        fd.train(ParameterServer(60, lr=1e30), problem.model, problem.data)
