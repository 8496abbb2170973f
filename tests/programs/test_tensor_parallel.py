"""A perceptron divided inside its layers is the dense one: to the bit where floats are exact, else to rounding."""

import doctest
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

import foedus as fd
from foedus.core.types.keys import Key
from foedus.data import Replicated
from foedus.jobs import InverseTime
from foedus.jobs.model_parallel import batch_positions
from foedus.programs import FeatureParallel, TensorParallel
from foedus.testing import check_program, half_squares

WORKERS = (1, 2, 3, 7)
WIDTHS = [(12, 8, 4), (12, 5, 9, 4), (12, 9, 7, 8, 4), (12, 7, 7, 7, 7, 4)]
"""One pair, a layer and a pair, two pairs, a layer and two pairs; most cannot be divided evenly."""


def normal(loss: str = "cross_entropy", rows: int = 40) -> fd.data.Dataset:
    x = torch.randn(rows, 12, generator=torch.Generator().manual_seed(1))
    score = x @ torch.randn(12, 4, generator=torch.Generator().manual_seed(2))
    return fd.data.arrays(x, {"mse": score, "cross_entropy": score.argmax(1)}[loss])


def dense(program, model: fd.Model, dataset) -> fd.Run:
    return fd.train(program, model, dataset.split(fd.data.IID(), nodes=1))


def whole_numbers(*widths: int, bias: bool = True) -> nn.Module:
    """A perceptron whose parameters are small integers, biases of 1 and 2 among them."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b, bias=bias), nn.ReLU()]
    module = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.arange(p.numel()).mul(7).remainder(5).sub(1).clamp(max=2).float().view(p.shape))
            if p.dim() == 1:
                p.copy_(1 + torch.arange(len(p)) % 2)
    return module


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("nodes", WORKERS)
@pytest.mark.parametrize("widths", [(6, 8, 2), (8, 7, 7, 2), (6, 7, 2, 7, 1)])
def test_integers_give_the_bits_of_the_dense_model(widths: tuple[int, ...], nodes: int, bias: bool) -> None:
    x = torch.tensor([[1.0 if 5 * i + j & 3 else -1.0 for j in range(widths[0])] for i in range(4)])
    y = torch.arange(4.0 * widths[-1]).view(4, -1)
    dataset, model = fd.data.arrays(x, y), fd.Model(whole_numbers(*widths, bias=bias), half_squares)
    rounds = 1  # a step multiplies the digits, and floats have 24: a second one rounds, on each CPU in its own way
    lr = 2.0**-6
    run = fd.train(TensorParallel(rounds, lr), model, dataset.split(Replicated(), nodes=nodes))
    expected = dense(fd.SyncSGD(rounds, lr), model, dataset).vector
    assert torch.equal(run.vector, expected)
    assert all(not torch.equal(a, b) for a, b in zip(model.split(expected), model.split(model.initial), strict=True))


@pytest.mark.parametrize("nodes", WORKERS)
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_floats_give_the_dense_model_to_rounding(loss: str, widths: tuple[int, ...], nodes: int) -> None:
    dataset, model = normal(loss), fd.Model(fd.models.mlp(*widths), loss)
    lr = InverseTime(0.3, 0.1)
    run = fd.train(TensorParallel(5, lr), model, dataset.split(Replicated(), nodes=nodes))
    expected = dense(fd.SyncSGD(5, lr), model, dataset)
    assert torch.allclose(run.vector, expected.vector, rtol=0, atol=1e-6)
    assert (run.vector - model.initial).abs().max() > 0.01
    assert run.history[-1].loss == pytest.approx(expected.history[-1].loss, abs=1e-5)


def test_one_output_and_two_classes() -> None:
    dataset = normal()
    dataset = fd.data.arrays(dataset.x, (dataset.y > 1).long())
    model = fd.Model(fd.models.mlp(12, 6, 1), "bce")
    run = fd.train(TensorParallel(5, 0.5), model, dataset.split(Replicated(), nodes=3))
    assert torch.allclose(run.vector, dense(fd.SyncSGD(5, 0.5), model, dataset).vector, rtol=0, atol=1e-6)


def test_batches_are_those_of_a_plain_loop_and_the_same_at_every_node() -> None:
    dataset, model = normal(), fd.Model(fd.models.mlp(12, 9, 7, 8, 4))
    data = dataset.split(Replicated(), nodes=3)
    run = fd.train(TensorParallel(3, 0.3, batch_size=8, steps=2), model, data, seed=5)
    module = model.copy_of(model.initial)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.3)
    for step in range(6):
        at = batch_positions(Key(5).child("sample", step).integer(), len(dataset), 8)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(dataset.x[at]), dataset.y[at]).backward()
        optimizer.step()
    assert torch.allclose(run.vector, nn.utils.parameters_to_vector(module.parameters()), rtol=0, atol=1e-6)


def test_rounds_of_several_steps_are_the_same_steps() -> None:
    model, data = fd.Model(fd.models.mlp(12, 9, 7, 8, 4)), normal().split(Replicated(), nodes=3)
    one, three = (fd.train(TensorParallel(6 // n, InverseTime(0.3), 8, steps=n), model, data) for n in (1, 3))
    assert one.sha256 == three.sha256


class _OtherOrder(nn.Linear):
    """A dense layer whose sums are taken in another order."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x.flip(1), self.weight.flip(1), self.bias)


def test_another_order_of_sums_is_the_same_model() -> None:
    """In a wide and deep stack the numbers that are tried are large, and in some of them what is left is rounding."""
    layers = [m for a, b in pairwise((12, *[300] * 5, 999)) for m in (_OtherOrder(a, b), nn.ReLU())]
    model, data = fd.Model(nn.Sequential(*layers[:-1])), normal().split(Replicated(), nodes=2)
    fd.train(TensorParallel(1, 0.1), model, data)


def test_one_layer_is_feature_parallel() -> None:
    dataset, model = normal(), fd.Model(fd.models.logistic(12, 4))
    data = dataset.split(Replicated(), nodes=3)
    a, b = (fd.train(program(3, 0.5, 8, 2), model, data) for program in (FeatureParallel, TensorParallel))
    assert a.sha256 == b.sha256
    assert (a.ledger.bytes_up, a.ledger.bytes_down) == (b.ledger.bytes_up, b.ledger.bytes_down)


@pytest.mark.parametrize("widths", WIDTHS)
def test_a_pair_costs_one_sum_forward_and_one_backward(widths: tuple[int, ...]) -> None:
    nodes, rounds, steps, rows = 2, 2, 3, 8
    dataset, model = normal(), fd.Model(fd.models.mlp(*widths))
    run = fd.train(TensorParallel(rounds, 0.1, rows, steps), model, dataset.split(Replicated(), nodes=nodes))
    between = widths[-3:0:-2]  # what goes from stage to stage
    step = 4 * rows * (widths[-1] + 2 * sum(between))
    stages = len(between) + 1
    assert run.ledger.bytes_down == nodes * rounds * steps * (8 + step)
    up = run.ledger.bytes_up - nodes * (1 + 8) - nodes * rounds * steps * step
    assert run.ledger.messages == 2 * nodes * (1 + rounds * (steps * (2 * stages - 1) + 1))
    # The rest is the collected parts: the parameters that are divided, filled up to the largest part.
    divided = sum(s.stop - s.start for s in model.layout.slots if len(s.shape) == 2)
    assert rounds * 4 * divided <= up <= rounds * 4 * (divided + nodes * sum(2 * w + 1 for w in widths))
    assert run.ledger.total.samples <= rounds * steps * rows * nodes * max(-(-w // nodes) / w for w in widths[:-1])


def test_keeps_the_laws_of_programs() -> None:
    model = fd.Model(fd.models.mlp(12, 9, 7, 8, 4))
    check_program(TensorParallel(3, 0.3, batch_size=16, steps=2), model, normal().split(Replicated(), nodes=3))


def test_only_parameters_are_kept_from_round_to_round() -> None:
    model = fd.Model(fd.models.mlp(12, 9, 7, 8, 4))
    run = fd.train(TensorParallel(1, 0.3, batch_size=16), model, normal().split(Replicated(), nodes=3))
    kept = run.checkpoint.tree["node_states"]
    numbers = sum(t.numel() for states in kept.values() for t in states["job"].values())
    undivided = 7 + 4  # the biases behind the sums are the coordinator's
    assert numbers == model.layout.size - undivided


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (fd.models.mlp(12, 2, 4), "the 2 outputs of 0.weight cannot be divided among 3 nodes"),
        (nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 4)), "something else than dense layers"),
        (nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 4)), "something else than dense layers"),
        (nn.Sequential(nn.Linear(12, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 4)), "no part of a stack"),
    ],
)
def test_models_that_cannot_be_divided_are_refused(module: nn.Module, why: str) -> None:
    with pytest.raises(fd.BadInput, match=why):
        fd.train(TensorParallel(1), fd.Model(module), normal().split(Replicated(), nodes=3))


def test_examples_of_the_page() -> None:
    page = Path(__file__).parents[2] / "docs" / "algorithms" / "tensor-parallel.md"
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert (failed, tried > 4) == (0, True)
