"""A linear model divided by features is the dense model: to the bit where floats are exact, else to rounding."""

import doctest
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import foedus as fd
from foedus.core.types.keys import Key
from foedus.data import Replicated
from foedus.jobs import InverseTime
from foedus.jobs.model_parallel import batch_positions
from foedus.programs import FeatureParallel
from foedus.testing import check_program, half_squares

WORKERS = (1, 2, 3, 7)


def walsh(features: int = 10) -> tuple[fd.data.Dataset, fd.Model]:
    """Integers whose Hessian, the bias's included, is the identity: with lr = 1/2 a step costs one binary digit."""
    x = torch.tensor([[(-1.0) ** bin(i & j).count("1") for j in range(1, features + 1)] for i in range(32)])
    noise = torch.tensor([float(7 * i % 5 - 2) for i in range(32)])
    y = x @ torch.tensor([float(j % 7 - 3) for j in range(features)]) + noise + 3
    module = nn.Linear(features, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[float(j % 3 - 1) for j in range(features)]]))
        module.bias.fill_(2.0)
    return fd.data.arrays(x, y[:, None]), fd.Model(module, half_squares)


def normal(loss: str, rows: int = 50, features: int = 9, outputs: int = 4) -> tuple[fd.data.Dataset, fd.Model]:
    x = torch.randn(rows, features, generator=torch.Generator().manual_seed(1))
    score = x @ torch.randn(features, outputs, generator=torch.Generator().manual_seed(2))
    y = {"mse": score, "cross_entropy": score.argmax(1), "bce": (score[:, 0] > 0).long()}[loss]
    module = fd.models.logistic(features, 1 if loss == "bce" else outputs)
    return fd.data.arrays(x, y), fd.Model(module, loss)


def dense(program, model: fd.Model, dataset, **options) -> fd.Run:
    return fd.train(program, model, dataset.split(fd.data.IID(), nodes=1), **options)


@pytest.mark.parametrize("nodes", WORKERS)
def test_integers_give_the_bits_of_the_dense_model(nodes: int) -> None:
    dataset, model = walsh()
    run = fd.train(FeatureParallel(8, lr=0.5), model, dataset.split(Replicated(), nodes=nodes))
    expected = dense(fd.SyncSGD(8, lr=0.5), model, dataset)
    assert torch.equal(run.vector, expected.vector)
    assert [r.loss for r in run.history] == [r.loss for r in expected.history]
    assert not torch.equal(run.vector, model.initial)


@pytest.mark.parametrize("nodes", WORKERS)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "bce"])
def test_any_loss_gives_the_dense_model_to_rounding(loss: str, nodes: int) -> None:
    dataset, model = normal(loss)
    lr = InverseTime(0.5, 0.1)
    run = fd.train(FeatureParallel(6, lr=lr), model, dataset.split(Replicated(), nodes=nodes))
    expected = dense(fd.SyncSGD(6, lr=lr), model, dataset)
    assert torch.allclose(run.vector, expected.vector, rtol=0, atol=1e-6)
    assert run.history[-1].train_loss == pytest.approx(expected.history[-1].train_loss, abs=1e-6)
    assert (run.vector - model.initial).abs().max() > 0.01


@settings(max_examples=15, deadline=None)
@given(
    features=st.integers(1, 12), outputs=st.integers(1, 3), rows=st.integers(1, 9), nodes=st.integers(1, 12),
    bias=st.booleans(),
)  # fmt: skip
def test_one_step_on_any_shape(features: int, outputs: int, rows: int, nodes: int, bias: bool) -> None:
    x = torch.randint(-4, 5, (rows, features), generator=torch.Generator().manual_seed(rows)).float()
    y = torch.randint(-4, 5, (rows, outputs), generator=torch.Generator().manual_seed(features)).float()
    module = nn.Linear(features, outputs, bias=bias)
    for p in module.parameters():
        nn.init.constant_(p, 1.0)
    dataset, model = fd.data.arrays(x, y), fd.Model(module, half_squares)
    data = dataset.split(Replicated(), nodes=min(nodes, features))
    run = fd.train(FeatureParallel(1, lr=0.3), model, data)
    # Sums of integers are exact in any order, and both sides divide once: any number of rows gives the same bits.
    assert torch.equal(run.vector, dense(fd.SyncSGD(1, lr=0.3), model, dataset).vector)


def test_batches_are_those_of_a_plain_loop_and_the_same_at_every_node() -> None:
    dataset, model = normal("cross_entropy")
    run = fd.train(FeatureParallel(3, 0.5, batch_size=8, steps=2), model, dataset.split(Replicated(), nodes=4), seed=5)
    module = model.copy_of(model.initial)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for step in range(6):
        at = batch_positions(Key(5).child("sample", step).integer(), len(dataset), 8)
        assert at is not None
        assert len(set(at.tolist())) == 8
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(dataset.x[at]), dataset.y[at]).backward()
        optimizer.step()
    assert torch.allclose(run.vector, nn.utils.parameters_to_vector(module.parameters()), rtol=0, atol=1e-6)


def test_rounds_of_several_steps_are_the_same_steps() -> None:
    dataset, model = normal("cross_entropy")
    data, lr = dataset.split(Replicated(), nodes=3), InverseTime(0.5)
    one, three = (fd.train(FeatureParallel(6 // n, lr, 8, steps=n), model, data) for n in (1, 3))
    assert one.sha256 == three.sha256
    assert [r.loss for r in three.history] == [one.history[i].loss for i in (2, 5)]


def test_images_are_rows_of_features() -> None:
    """Of four shades, with a loss and a rate that leave two steps exact: any CPU gives the same bits."""
    x = torch.randint(0, 4, (8, 3, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    y = torch.randint(-4, 5, (8, 3), generator=torch.Generator().manual_seed(1)).float()
    linear = nn.Linear(12, 3)
    for p in linear.parameters():
        nn.init.constant_(p, 1.0)
    dataset, model = fd.data.arrays(x, y), fd.Model(nn.Sequential(nn.Flatten(), linear), half_squares)
    run = fd.train(FeatureParallel(2, 2.0**-5), model, dataset.split(Replicated(), nodes=5))
    assert torch.equal(run.vector, dense(fd.SyncSGD(2, 2.0**-5), model, dataset).vector)
    assert not torch.equal(run.vector, model.initial)


# -- costs -------------------------------------------------------------------------------------------------------


def costs(features: int, nodes: int, rounds: int = 2, steps: int = 3, batch: int = 8) -> fd.Run:
    dataset, model = normal("cross_entropy", features=features)
    return fd.train(FeatureParallel(rounds, 0.1, batch, steps), model, dataset.split(Replicated(), nodes=nodes))


@pytest.mark.parametrize("nodes", [1, 3])
def test_bytes_of_a_step_do_not_depend_on_the_features(nodes: int) -> None:
    rounds, steps, seed, message = 2, 3, 8, 4 * 8 * 4  # B = 8 rows, C = 4 classes
    for features in (9, 900):
        run = costs(features, nodes, rounds, steps)
        collected = rounds * 4 * 4 * features
        assert run.ledger.bytes_down == nodes * rounds * steps * (seed + message)
        assert run.ledger.bytes_up == nodes * (1 + 8) + nodes * rounds * steps * message + collected
        # A step is one exchange; one more a round collects the parts, and one a run checks the rows.
        assert run.ledger.messages == 2 * nodes * (rounds * (steps + 1) + 1)


def test_uneven_parts_are_collected_at_the_size_of_the_largest() -> None:
    more = costs(10, 3).ledger.bytes_up - costs(9, 3).ledger.bytes_up
    assert more == 2 * 3 * 4 * 4  # a column of 4 numbers at each of 3 nodes, in each of 2 rounds


def test_the_work_of_a_step_is_divided() -> None:
    """All nodes together compute what one node computes alone, but that each checks two rows before the first step."""
    alone, divided = costs(900, 1).ledger.total, costs(900, 3).ledger.total
    assert alone.samples == pytest.approx(2 * 3 * 8)
    assert divided.samples == pytest.approx(alone.samples)
    passes = 2 * 3 * 8 * 3  # three times forward for every row
    assert divided.compute_s / alone.compute_s == pytest.approx((passes + 3 * 2) / (passes + 2))


# -- laws of programs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "steps"), [(16, 2), (None, 1)])
def test_keeps_the_laws_of_programs(batch_size: int | None, steps: int) -> None:
    dataset, model = normal("cross_entropy")
    data = dataset.split(Replicated(), nodes=4)
    workers = (1, 2) if batch_size else (1,)
    check_program(
        FeatureParallel(3, 0.5, batch_size, steps), model, data, workers=workers, seeds_matter=batch_size is not None
    )


@dataclass
class _Breaks(fd.data.FederatedDataset):
    """Data of which one node loses its own when it is read for the n-th time."""

    node: int = 2
    reads: int = 4

    def rows(self, node: int):
        if node == self.node:
            self.reads -= 1
            if self.reads < 0:
                raise OSError("its disk is gone")
        return super().rows(node)


def test_a_node_that_fails_is_named_and_ends_the_run() -> None:
    dataset, model = normal("cross_entropy")
    whole = dataset.split(Replicated(), nodes=4)
    data = _Breaks(whole.x, whole.y, whole.index, whole.offsets, classes=whole.classes)
    with pytest.raises(fd.NodeFailed) as failed:
        fd.train(FeatureParallel(5, 0.5), model, data, runtime=fd.Simulation(workers=1))
    message = str(failed.value)
    assert message.startswith("node 2 failed in round 2: OSError: its disk is gone")
    assert "\n" not in message
    kept = failed.value.run
    assert kept is not None
    # What is kept is the first round's model, and the run goes on from it as if nothing had happened.
    resumed = fd.train(FeatureParallel(5, 0.5), model, whole, resume=kept)
    assert resumed.sha256 == fd.train(FeatureParallel(5, 0.5), model, whole).sha256


def test_a_learning_rate_that_is_too_large_diverges() -> None:
    dataset, model = normal("mse")
    with pytest.raises(fd.Diverged, match="round"):
        fd.train(FeatureParallel(9, 1e15), model, dataset.split(Replicated(), nodes=3))


# -- bad input ---------------------------------------------------------------------------------------------------


def test_more_nodes_than_features_are_refused() -> None:
    dataset, model = normal("mse", features=3)
    with pytest.raises(fd.BadInput, match="the 3 features cannot be divided among 4 nodes"):
        fd.train(FeatureParallel(1), model, dataset.split(Replicated(), nodes=4))


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(9, 4), nn.Tanh()),
        nn.Sequential(nn.Linear(9, 4), nn.ReLU()),
        nn.Sequential(nn.Dropout(0.5), nn.Linear(9, 4)),
        nn.Sequential(nn.Linear(9, 5).requires_grad_(False), nn.Linear(5, 4)),
    ],
)
def test_models_that_only_look_linear_are_refused(module: nn.Module) -> None:
    dataset, _ = normal("cross_entropy")
    with pytest.raises(fd.BadInput, match="something else than dense layers"):
        fd.train(FeatureParallel(1), fd.Model(module), dataset.split(Replicated(), nodes=3))


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (fd.models.mlp(9, 5, 4), "one layer.*use TensorParallel"),
        (nn.Sequential(nn.Linear(9, 4), nn.BatchNorm1d(4)), "no part of a stack of dense layers"),
        (nn.Sequential(nn.Unflatten(1, (1, 3, 3)), nn.Conv2d(1, 4, 3), nn.Flatten()), "no part of a stack"),
    ],
)
def test_models_of_another_shape_are_refused(module: nn.Module, why: str) -> None:
    dataset, _ = normal("cross_entropy")
    with pytest.raises(fd.BadInput, match=why):
        fd.train(FeatureParallel(1), fd.Model(module), dataset.split(Replicated(), nodes=3))


@pytest.mark.parametrize("split", [{"partition": fd.data.IID()}, {"partition": Replicated(), "holdout": 0.2}])
def test_nodes_without_the_same_rows_are_refused(split: dict) -> None:
    dataset, model = normal("cross_entropy")
    with pytest.raises(fd.BadInput, match=r"node 1 has other rows than node 0.*split\(Replicated"):
        fd.train(FeatureParallel(1), model, dataset.split(nodes=2, **split))


@pytest.mark.parametrize("options", [{"lr": -1.0}, {"lr": float("nan")}, {"batch_size": 0}, {"steps": 0}])
def test_settings_are_checked(options: dict) -> None:
    with pytest.raises(fd.BadInput, match=next(iter(options))):
        FeatureParallel(1, **options)


def test_examples_of_the_page() -> None:
    page = Path(__file__).parents[2] / "docs" / "algorithms" / "feature-parallel.md"
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert (failed, tried > 4) == (0, True)
