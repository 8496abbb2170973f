"""LocalSGD and Gradient against torch's own optimiser and autograd over the same batches."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import foedus as fd
from foedus.core.types.data import IndexedRows
from foedus.jobs import Cosine, ExponentialDecay, InverseTime
from foedus.testing import half_squares

KEY = fd.Key(3).child("job", 0, 0)


def _rows(n: int, width: int = 4, classes: int = 3) -> IndexedRows:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n + 5, width, generator=generator)
    y = torch.randint(classes, (n + 5,), generator=generator)
    return IndexedRows(x, y, torch.randperm(n + 5, generator=generator)[:n])


def _model() -> fd.Model:
    return fd.Model(fd.models.mlp(4, 6, 3))


def _view(model: fd.Model, rows: IndexedRows) -> fd.NodeView:
    return fd.NodeView(0, rows, model, {}, KEY)


def _watch(model: fd.Model, rows: IndexedRows) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Fills with the batches that the model is given from now on; labels are found by their rows."""
    label = {tuple(x.tolist()): y for x, y in zip(*rows.batch(), strict=True)}
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def look(_: nn.Module, args: tuple[torch.Tensor]) -> None:
        seen.append((args[0].clone(), torch.stack([label[tuple(x.tolist())] for x in args[0]])))

    model.module.register_forward_pre_hook(look)
    return seen


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(
    "how", [{"epochs": 3, "batch_size": 5}, {"steps": 7, "batch_size": 4}, {"batch_size": None}], ids=str
)
def test_local_sgd_is_torchs_sgd(momentum: float, decay: float, how: dict) -> None:
    job = fd.LocalSGD(**how, lr=0.1, momentum=momentum, weight_decay=decay)
    rows, model = _rows(17), _model()
    batches = _watch(model, rows)
    u, state = job(_view(model, rows), {"w": model.initial})
    module = fd.models.mlp(4, 6, 3)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1, momentum=momentum, weight_decay=decay)
    total, seen = 0.0, 0
    for x, y in batches:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(module(x), y)
        loss.backward()
        optimiser.step()
        total, seen = total + loss.item() * len(y), seen + len(y)
    expected = nn.utils.parameters_to_vector(module.parameters()).detach() - model.initial
    torch.testing.assert_close(u["delta"], expected, rtol=0, atol=1e-6)
    assert u.metrics["loss"] == pytest.approx(total / seen, abs=1e-5)
    assert (u.weight, u.summed, dict(state)) == (17, False, {})
    assert u.metrics["steps"] == len(batches) == job.steps_on(17)


def test_proximal_and_correction_are_added_to_the_gradient() -> None:
    rows, model = _rows(9), _model()
    p = model.layout.parameters
    correction = torch.linspace(-1, 1, p)
    job = fd.LocalSGD(steps=4, batch_size=None, lr=0.1, proximal=0.7)
    u, _ = job(_view(model, rows), {"w": model.initial, "correction": correction})
    module = fd.models.mlp(4, 6, 3)
    w = model.initial.clone()
    for _ in range(4):
        nn.utils.vector_to_parameters(w, module.parameters())
        x, y = rows.batch()
        g = torch.autograd.grad(nn.functional.cross_entropy(module(x), y), list(module.parameters()))
        w = w - 0.1 * (torch.cat([v.flatten() for v in g]) + 0.7 * (w - model.initial) + correction)
    torch.testing.assert_close(u["delta"], w - model.initial, rtol=0, atol=1e-6)


def test_the_proximal_term_pulls_to_the_anchor_where_there_is_one() -> None:
    rows, model = _rows(9), _model()
    anchor = model.initial + torch.linspace(-1, 1, model.layout.size)
    job = fd.LocalSGD(steps=3, batch_size=None, lr=0.1, proximal=0.7)
    u, _ = job(_view(model, rows), {"w": model.initial, "anchor": anchor})
    module, w = fd.models.mlp(4, 6, 3), model.initial.clone()
    for _ in range(3):
        nn.utils.vector_to_parameters(w, module.parameters())
        x, y = rows.batch()
        g = torch.autograd.grad(nn.functional.cross_entropy(module(x), y), list(module.parameters()))
        w = w - 0.1 * (torch.cat([v.flatten() for v in g]) + 0.7 * (w - anchor))
    torch.testing.assert_close(u["delta"], w - model.initial, rtol=0, atol=1e-6)


@pytest.mark.parametrize("how", [{}, {"momentum": 0.9}, {"weight_decay": 0.1}, {"proximal": 0.5}], ids=str)
def test_only_some_parameters_are_trained(how: dict) -> None:
    """As if the others did not require a gradient; all of them, by name, are no other than none."""
    rows, model = _rows(9), _model()
    deltas = {}
    for only in ((), ("*",), ("2.*",), ("2.weight", "2.bias")):
        job = fd.LocalSGD(steps=4, batch_size=3, lr=0.1, only=only, **how)
        deltas[only] = job(_view(model, rows), {"w": model.initial})[0]["delta"].clone()
    assert torch.equal(deltas[()], deltas[("*",)])
    assert torch.equal(deltas[("2.*",)], deltas[("2.weight", "2.bias")])
    frozen = fd.Model(fd.models.freeze(fd.models.mlp(4, 6, 3), "0.*"))
    job = fd.LocalSGD(steps=4, batch_size=3, lr=0.1, **how)
    u, _ = job(_view(frozen, rows), {"w": frozen.initial})
    assert not deltas[("2.*",)][:-21].any()
    torch.testing.assert_close(deltas[("2.*",)][-21:], u["delta"], rtol=0, atol=1e-7)


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("proximal", [0.0, 0.3])
def test_the_weight_of_steps_is_how_far_a_constant_gradient_leads(steps: int, momentum: float, proximal: float) -> None:
    class Slope(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.w.expand(len(x))

    model = fd.Model(Slope(), lambda output, target: output)
    job = fd.LocalSGD(steps=steps, batch_size=None, lr=0.1, momentum=momentum, proximal=proximal)
    u, _ = job(_view(model, _rows(3)), {"w": model.initial})
    weight = job.weight_of_steps(3)
    assert float(u["delta"]) == pytest.approx(-0.1 * weight, abs=1e-6)
    # Closed forms of the paper, where it has them.
    if not proximal:
        geometric = momentum * (1 - momentum**steps) / (1 - momentum)
        assert weight == pytest.approx((steps - geometric) / (1 - momentum))
    elif not momentum:
        assert weight == pytest.approx((1 - (1 - 0.1 * proximal) ** steps) / (0.1 * proximal))


class _Counting(nn.Module):
    """Counts the rows that it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += len(x)
        return self.inner(x)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 30),
    epochs=st.integers(1, 3),
    steps=st.none() | st.integers(1, 12),
    batch=st.none() | st.integers(1, 35),
)
def test_work_is_the_rows_that_are_trained_on(n: int, epochs: int, steps: int | None, batch: int | None) -> None:
    model, rows = fd.Model(_Counting()), _rows(n)
    for job in (fd.LocalSGD(epochs, steps, batch, lr=0.1), fd.Gradient(batch)):
        model.module.seen = 0
        u, _ = job(_view(model, rows), {"w": model.initial})
        assert job.work(n) == fd.Work(trained=model.module.seen)
        assert {k: tuple(v.shape) for k, v in u.parts.items()} == job.parts(model)


def test_an_epoch_sees_every_row_once() -> None:
    rows, model = _rows(11), _model()
    batches = _watch(model, rows)
    fd.LocalSGD(epochs=2, batch_size=3)(_view(model, rows), {"w": model.initial})
    assert [len(y) for _, y in batches] == [3, 3, 3, 2] * 2
    passes = [torch.cat([x for x, _ in part]) for part in (batches[:4], batches[4:])]
    everything = sorted(rows.batch()[0].tolist())
    assert [sorted(p.tolist()) for p in passes] == [everything] * 2
    # In an order of its own each time, and not that of the node.
    assert not torch.equal(passes[0], passes[1])
    assert not torch.equal(passes[0], rows.batch()[0])


def test_another_count_gives_other_batches() -> None:
    rows, model = _rows(11), _model()
    deltas = []
    for n in (0, 1, 0):
        view = fd.NodeView(0, rows, model, {}, fd.Key(0).child("job", 0, n))
        # An answer may be a view of the resident model, so it is copied before the next job.
        deltas.append(fd.LocalSGD(batch_size=3)(view, {"w": model.initial})[0]["delta"].clone())
    assert not torch.equal(deltas[0], deltas[1])
    assert torch.equal(deltas[0], deltas[2])


def test_gradients_that_autograd_shares_are_not_added_to_twice() -> None:
    """For a + b autograd hands out one tensor as the gradient of both: what is added to one must not reach both."""

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.ones(4, 1)), nn.Parameter(torch.full((4, 1), 2.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ (self.a + self.b)

    x, y = torch.eye(4), torch.zeros(4, 1)
    rows = IndexedRows(x, y, torch.arange(4))
    for extra, args in (
        ({"weight_decay": 0.5}, {}),
        ({"proximal": 1.0, "steps": 2}, {}),
        ({}, {"correction": torch.arange(8.0)}),
    ):
        model, module = fd.Model(Sum(), half_squares), Sum()
        job = fd.LocalSGD(batch_size=None, lr=0.25, **extra)
        u, _ = job(_view(model, rows), {"w": model.initial, **args})
        w0 = w = model.initial
        for _ in range(job.steps_on(4)):
            nn.utils.vector_to_parameters(w.clone(), module.parameters())
            half_squares(module(x), y).mean().backward()
            g = torch.cat([p.grad.flatten() for p in module.parameters()])
            module.zero_grad()
            w = w - 0.25 * (g + job.weight_decay * w + job.proximal * (w - w0) + args.get("correction", 0))
        torch.testing.assert_close(u["delta"], w - w0, rtol=0, atol=1e-6)


def test_gradients_that_are_views_of_one_number_can_be_added_to() -> None:
    """The gradient of a sum is one number, expanded: it cannot be written to in place."""

    class Level(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.w.sum() + 0 * x

    model = fd.Model(Level(), half_squares)
    rows = IndexedRows(torch.ones(2, 1), torch.zeros(2, 1), torch.arange(2))
    u, _ = fd.LocalSGD(batch_size=None, lr=0.1, weight_decay=0.5)(_view(model, rows), {"w": model.initial})
    assert u["delta"].tolist() == pytest.approx([-0.1 * (3 + 0.5)] * 3)


# -- the gradient ------------------------------------------------------------------------------------------------


def test_gradient_is_the_sum_over_rows() -> None:
    model, rows = _model(), _rows(13)
    u, _ = fd.Gradient()(_view(model, rows), {"w": model.initial})
    module = fd.models.mlp(4, 6, 3)
    x, y = rows.batch()
    g = torch.autograd.grad(nn.functional.cross_entropy(module(x), y, reduction="sum"), list(module.parameters()))
    torch.testing.assert_close(u["gradient"], torch.cat([v.flatten() for v in g]), rtol=0, atol=1e-5)
    assert (u.weight, u.summed) == (13, True)
    torch.testing.assert_close(u.value()["gradient"] * 13, u["gradient"])


def test_gradient_of_a_batch_is_unbiased() -> None:
    model, rows = fd.Model(fd.models.logistic(4, 3)), _rows(12)
    whole = fd.Gradient()(_view(model, rows), {"w": model.initial})[0].value()["gradient"]
    draws = torch.stack(
        [
            fd.Gradient(3)(fd.NodeView(0, rows, model, {}, fd.Key(i)), {"w": model.initial})[0].value()["gradient"]
            for i in range(400)
        ]
    )
    assert ((draws.mean(0) - whole).abs() <= 4 * draws.std(0) / 20).all()


def test_a_callable_that_returns_the_mean_is_as_good_as_one_that_returns_rows() -> None:
    rows = _rows(8)
    answers = []
    for loss in (
        "cross_entropy",
        nn.functional.cross_entropy,
        lambda o, t: nn.functional.cross_entropy(o, t, reduction="none"),
    ):
        model = fd.Model(fd.models.mlp(4, 6, 3), loss)
        answers.append(fd.Gradient()(_view(model, rows), {"w": model.initial})[0]["gradient"])
    torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(answers[0], answers[2], rtol=0, atol=1e-6)


# -- schedules and bad input -------------------------------------------------------------------------------------


def test_schedules_are_resolved_by_round() -> None:
    job = fd.LocalSGD(lr=InverseTime(0.5, 1.0))
    assert [job.at(t).lr for t in (0, 1, 3)] == [0.5, 0.25, 0.125]
    assert fd.LocalSGD(lr=0.3).at(7).lr == 0.3
    with pytest.raises(fd.BadInput, match=r"job\.at"):
        job(_view(_model(), _rows(3)), {"w": _model().initial})
    assert ExponentialDecay(2.0, 0.5)(3) == 0.25
    cosine = Cosine(1.0, rounds=4, last=0.2)
    assert [cosine(t) for t in (0, 2, 4, 9)] == pytest.approx([1.0, 0.6, 0.2, 0.2])


def test_a_schedule_is_the_same_as_its_rates_by_hand() -> None:
    data = fd.data.load("digits").split(fd.data.IID(), nodes=3, seed=0)
    model = fd.Model(fd.models.logistic(64, 10))
    local = fd.LocalSGD(batch_size=None, lr=ExponentialDecay(0.5, 0.5))
    run = fd.train(fd.FedAvg(2, local=local), model, data)

    class ByHand:
        async def __call__(self, fed: fd.Federation):
            s = await fed.begin(lambda w: fd.State(w=w))
            for t in fed.rounds(2):
                job = fd.LocalSGD(batch_size=None, lr=(0.5, 0.25)[t])
                total = await fed.map_reduce(job, {"w": s.w}, range(3), fd.Mean())
                s = s.replace(w=s.w + total["delta"])
                await fed.commit(s)

    assert fd.train(ByHand(), model, data).sha256 == run.sha256


@pytest.mark.parametrize(
    "fields",
    [{"epochs": 0}, {"steps": 0}, {"batch_size": 0}, {"lr": -0.1}, {"lr": math.nan}, {"momentum": -1.0},
     {"weight_decay": math.inf}, {"proximal": -1.0}, {"only": "head"}, {"only": (1,)}],
    ids=str,
)  # fmt: skip
def test_bad_arguments_are_refused(fields: dict) -> None:
    with pytest.raises(fd.BadInput, match=next(iter(fields))):
        fd.LocalSGD(**fields)


def test_gradient_refuses_an_empty_batch() -> None:
    with pytest.raises(fd.BadInput, match="batch_size"):
        fd.Gradient(0)
