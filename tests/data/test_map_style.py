"""Any map-style torch dataset: its rows and labels, its augmentation, the same bits everywhere."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import ConcatDataset, IterableDataset, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

import foedus as fd
from foedus.core.errors import BadInput
from foedus.data import IID, Natural, torch_dataset
from foedus.testing import check_program

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3


class Rows(TorchDataset):
    """Rows with a transform, that count how often they are asked for."""

    def __init__(self, x=X, y=Y, transform=None, **said):
        self.x, self.y, self.transform, self.asked = x, y, transform, 0
        self.__dict__.update(said)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        self.asked += 1
        x = self.x[i]
        return (x if self.transform is None else self.transform(x)), self.y[i]


def gathered(data):
    return data.x.gather(torch.arange(len(data)))


# -- rows and labels ---------------------------------------------------------------------------------------------


def test_rows_and_labels_are_those_of_the_dataset():
    data = torch_dataset(Rows(), test=Rows(X[:5], Y[:5]))
    assert repr(data) == "Dataset('Rows': 60 rows of (4,), 3 classes, 5 test rows)"
    assert torch.equal(gathered(data), X)
    assert torch.equal(data.y, Y)
    assert data.x.gather(torch.tensor([7, 3])).tolist() == X[[7, 3]].tolist()
    assert torch.equal(data.test_x.gather(torch.arange(5)), X[:5])


@pytest.mark.parametrize("said", [{"targets": Y}, {"labels": Y.tolist()}, {"targets": Y.numpy()}])
def test_labels_that_the_dataset_says_it_has_need_no_pass(said):
    rows = Rows(**said)
    assert torch.equal(torch_dataset(rows).y, Y)
    assert rows.asked < 10


@pytest.mark.parametrize("said", [{}, {"targets": Y + 1}, {"targets": Y[:-1]}, {"labels": "none"}])
def test_labels_that_are_not_what_it_gives_are_read_by_a_pass(said):
    rows = Rows(**said)
    assert torch.equal(torch_dataset(rows).y, Y)
    assert rows.asked >= 60


def test_below_subset_and_concatenation():
    rows = Rows(targets=Y)
    some = Subset(ConcatDataset([rows, TensorDataset(X, Y)]), [100, 3, 61])
    data = torch_dataset(some)
    assert data.y.tolist() == Y[[40, 3, 1]].tolist()
    assert torch.equal(gathered(data), X[[40, 3, 1]])
    assert rows.asked < 10


def test_labels_of_ones_own_and_targets_of_a_regression():
    rows = Rows()
    data = torch_dataset(rows, labels=[5] * 60, classes=7)
    assert (data.classes, data.y.unique().tolist()) == (7, [5])
    assert rows.asked < 10
    assert torch_dataset(Rows(y=X[:, :2])).y.shape == (60, 2)
    assert torch_dataset(Rows(y=[float(v) for v in Y])).classes is None


def test_class_names_and_owners():
    data = torch_dataset(Subset(Rows(classes=["a", "b", "c"]), range(60)), node=["ann", "bob"] * 30, name="mine")
    assert (data.class_names, data.name) == (("a", "b", "c"), "mine")
    assert data.split(Natural(), holdout=0.2).node_names == ("ann", "bob")


@pytest.mark.parametrize(
    ("value", "dtype", "row"),
    [
        (torch.tensor([1, 2], dtype=torch.int32), torch.int64, [1, 2]),
        (torch.tensor([1, 2], dtype=torch.uint8), torch.uint8, [1, 2]),
        (torch.tensor([True, False]), torch.float32, [1.0, 0.0]),
        (np.array([0.5, 2.0]), torch.float32, [0.5, 2.0]),
        ([1, 2], torch.int64, [1, 2]),
        (2.5, torch.float32, 2.5),
        (Image.new("RGB", (2, 1), (7, 8, 9)), torch.uint8, [[[7, 7]], [[8, 8]], [[9, 9]]]),
        (Image.new("L", (2, 1), 7), torch.uint8, [[[7, 7]]]),
    ],
)
def test_what_a_row_may_be(value, dtype, row):
    data = torch_dataset([(value, 0), (value, 1)])
    x = gathered(data)
    assert (x.dtype, x.tolist()) == (dtype, [row, row])


def test_a_fraction_is_held_out():
    data = torch_dataset(Rows(), test=0.25)
    assert (len(data), len(data.test_x)) == (45, 15)
    rows = torch.cat([gathered(data), data.test_x.gather(torch.arange(15))])
    assert sorted(rows.tolist()) == sorted(X.tolist())


# -- augmentation ------------------------------------------------------------------------------------------------

JITTERS = {
    "torch": lambda x: x + 0.1 * torch.randn(4),
    "python": lambda x: x + random.gauss(0, 0.1),
    "numpy": lambda x: x + float(np.random.normal(0, 0.1)),
}


def runnable(transform, rows=60):
    data = torch_dataset(Rows(X[:rows], Y[:rows], transform, targets=Y[:rows]), test=Rows(X[:9], Y[:9]))
    torch.manual_seed(0)
    return fd.Model(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.2), nn.Linear(5, 3))), data.split(IID(), 3)


@pytest.mark.parametrize("kind", JITTERS)
def test_augmentation_differs_every_time_and_follows_torchs_seed(kind):
    x = torch_dataset(Rows(transform=JITTERS[kind])).x
    index = torch.tensor([0, 0, 1])
    torch.manual_seed(5)
    one, two = x.gather(index), x.gather(index)
    torch.manual_seed(5)
    assert torch.equal(x.gather(index), one)
    assert not torch.equal(two, one)  # in another pass
    assert not torch.equal(one[0], one[1])  # in another row
    assert (one - X[index]).abs().max() < 1


def test_the_global_generators_are_left_as_they_were():
    data = torch_dataset(Rows(transform=lambda x: x + random.random() + np.random.rand()))
    python, legacy = random.getstate(), np.random.get_state()[1].copy()
    data.x.gather(torch.arange(5))
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state()[1], legacy)

    def fails(x):
        random.random()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        data.x.__class__(Rows(transform=fails)).gather(torch.arange(1))
    assert random.getstate() == python


def test_making_a_data_set_draws_nothing():
    state, python = torch.get_rng_state(), random.getstate()
    torch_dataset(Rows(transform=JITTERS["torch"]), test=0.2).split(IID(), 3, holdout=0.2)
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python


def jitter_of_all_kinds(x):
    for jitter in JITTERS.values():
        x = jitter(x)
    return x


def test_a_program_keeps_its_laws_on_augmented_rows():
    job = fd.LocalSGD(epochs=2, batch_size=4, lr=0.1)
    check_program(fd.FedAvg(rounds=2, local=job), *runnable(jitter_of_all_kinds, rows=24))


def test_evaluation_is_not_augmented():
    model, data = runnable(jitter_of_all_kinds)
    program = fd.FedAvg(rounds=1, local=fd.LocalSGD(lr=0.0))
    run = fd.train(program, model, data)
    loss = nn.functional.cross_entropy(run.model()(X[:9]), Y[:9]).item()
    assert run.history[-1].loss == pytest.approx(loss, rel=1e-6)
    data = replace(data, test_x=data.x, test_y=data.y, test_units=None)  # had the test set the same transform
    clean = nn.functional.cross_entropy(run.model()(X), Y).item()
    assert fd.train(program, model, data).history[-1].loss != pytest.approx(clean, rel=1e-6)


def test_without_augmentation_it_is_the_run_on_arrays():
    _, asked = runnable(None)
    held = fd.data.arrays(X, Y, test=(X[:9], Y[:9])).split(IID(), 3)
    plain = fd.Model(nn.Linear(4, 3))  # no dropout: every gather draws a seed, and dropout would draw after it
    program = fd.FedAvg(rounds=2, local=fd.LocalSGD(epochs=2, batch_size=5, lr=0.1))
    assert fd.train(program, plain, asked).sha256 == fd.train(program, plain, held).sha256


# -- what does not fit -------------------------------------------------------------------------------------------


class Endless(IterableDataset):
    def __iter__(self):
        return iter([])


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        (Endless(), {}, "must be a map-style dataset, with __len__ and __getitem__; a Endless is none"),
        (3, {}, "a int is none"),
        (Rows, {}, r"not a class: write Rows\(\.\.\.\) with parentheses"),
        (Rows(X[:0], Y[:0]), {}, "a torch dataset is empty: it has no rows"),
        ([1.0, 2.0], {}, r"row 0 of the torch dataset is a float, expected a pair \(x, y\)"),
        ([(1, 2, 3)], {}, r"row 0 of the torch dataset is 3 things, expected a pair \(x, y\)"),
        ([("text", 0)], {}, r"x of row 0 holds text \(dtype <U4\), numbers are needed"),
        (Rows(), {"test": 7}, "test must be a fraction between 0 and 1"),
        (Rows(), {"test": [1]}, "row 0 of the torch dataset is a int"),
        (Rows(), {"test": "test"}, "test must be the dataset itself, got the text 'test'"),
        (Rows(), {"labels": [0, 1]}, "60 rows of x but 2 of y"),
        (Rows(), {"labels": ["a"] * 60}, "y holds text"),
        (Rows(), {"node": [1, 2]}, "node must hold one id per row"),
        (Rows(), {"test": Rows(X[:, :3])}, r"a test row of x has shape \(3,\), a training row \(4,\)"),
        (Rows(y=Y - 1), {}, "y has the negative label -1 in row 0"),
    ],
)
def test_what_does_not_fit(dataset, options, message):
    with pytest.raises(BadInput, match=message):
        torch_dataset(dataset, **options)


def test_rows_of_different_shapes_are_named():
    x = torch_dataset([(torch.zeros(2), 0), (torch.zeros(3), 1)]).x
    with pytest.raises(BadInput, match=r"row 1 of the torch dataset has shape \(3,\) torch\.float32, row 0 \(2,\)"):
        x.gather(torch.arange(2))


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<u8", ">i4", "<f2", ">f8", "longdouble", "O"])
def test_rows_of_any_type_are_the_numbers_they_are(kind):
    rows = np.arange(8).reshape(4, 2)
    data = torch_dataset([(row.astype(kind), i % 2) for i, row in enumerate(rows)])
    assert data.x.gather(torch.arange(4)).tolist() == rows.tolist()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array(["a", "b"], object), "y holds text"),
        ([[1], [1, 2]], r"y of row 1 of the torch dataset has shape \(2,\), that of row 0 \(1,\)"),
        ([0, None], r"y has nothing \(None\) in row 1"),
    ],
)
def test_labels_that_are_no_numbers(y, message):
    with pytest.raises(BadInput, match=message):
        torch_dataset(list(zip(torch.eye(2), y, strict=True)))
