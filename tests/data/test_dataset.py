"""A data set refuses what does not fit, and divides itself without copying rows."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import IID, Dataset, Dirichlet, arrays


def labelled(n=12, classes=3):
    return arrays(torch.arange(float(n))[:, None], torch.arange(n) % classes)


def test_repr_says_what_is_in_it():
    assert repr(labelled()) == "Dataset('arrays': 12 rows of (1,), 3 classes, no test rows)"
    full = arrays(np.zeros((2000, 1, 4, 4)), np.zeros(2000), node=np.arange(2000), test=0.5, name="mine")
    assert repr(full) == "Dataset('mine': 1,000 rows of (1, 4, 4), regression, 1,000 test rows, a node for each row)"


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        labelled().name = "other"


def test_split_carries_everything_over_and_copies_no_row():
    data = Dataset(
        x=torch.zeros(6, 2),
        y=torch.tensor([0, 1, 0, 1, 0, 1]),
        classes=2,
        class_names=("no", "yes"),
        test_x=torch.ones(1, 2),
        test_y=torch.tensor([1]),
        name="small",
    )
    fed = data.split(IID(), nodes=2, seed=3)
    assert fed.x is data.x
    assert fed.y is data.y
    assert fed.test_x is data.test_x
    assert fed.test_y is data.test_y
    assert (fed.classes, fed.class_names, fed.name, fed.partition) == (2, ("no", "yes"), "small", "IID()")
    assert fed.sizes == [3, 3]
    assert data.split(Dirichlet(alpha=0.5), nodes=2).partition == "Dirichlet(alpha=0.5, min_rows=1)"


def test_a_partition_of_ones_own():
    class FirstRow:
        def assign(self, dataset, nodes, key):
            return torch.tensor([0]), torch.tensor([0, 1])

    assert labelled().split(FirstRow()).sizes == [1]


@pytest.mark.parametrize(
    ("partition", "seed", "message"),
    [
        (IID, 0, r"write IID\(\.\.\.\) with parentheses"),
        ("iid", 0, r"needs a partition such as IID\(\).*got a str"),
        (IID(), 0.5, r"the seed must be an integer, got 0\.5"),
        (IID(), True, r"the seed must be an integer, got True"),
    ],
)
def test_split_refuses(partition, seed, message):
    with pytest.raises(BadInput, match=message):
        labelled().split(partition, nodes=2, seed=seed)


X, Y = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"x": X.double()}, r"x must be float32 .*, it is torch\.float64"),
        ({"y": Y.int()}, r"labels must be int64, y is torch\.int32"),
        ({"classes": None}, r"targets of a regression must be float32, y is torch\.int64"),
        ({"x": X[:, 0]}, r"x must have rows and columns.*shape \(4,\).*x\[:, None\]"),
        ({"y": Y[:, None]}, r"y must have shape \(rows,\); it has shape \(4, 1\)"),
        ({"y": torch.tensor(1.0), "classes": None}, r"y must have shape \(rows,\) or \(rows, targets\); .*\(\)"),
        ({"x": X[:, :0]}, r"x has no columns, its shape is \(4, 0\)"),
        ({"classes": 1}, r"the data: label 1 in row 1 is outside the 1 classes"),
        ({"test_x": X}, r"needs both test_x and test_y"),
        ({"test_x": X[:, :1], "test_y": Y}, r"a test row of x has shape \(1,\), a training row \(2,\)"),
        ({"test_x": X, "test_y": Y + 1}, r"the test set: label 2 in row 1 is outside the 2 classes"),
        ({"class_names": ("a",)}, r"1 class names for 2 classes"),
        ({"node": np.arange(3)}, r"node must hold one id per row, shape \(4,\); it has shape \(3,\)"),
        (
            {"test_x": X.to(torch.uint8), "test_y": Y},
            r"x of the test set is torch\.uint8, x torch\.float32: they must be",
        ),
        ({"node_names": ("a", "b")}, r"node_names needs node to hold integers"),
        ({"node_names": ("a", "b"), "node": np.array(list("abab"))}, r"node_names needs node to hold integers"),
        (
            {"node_names": ("a", "b"), "node": np.array([0, 1, 2, 0])},
            r"node goes from 0 to 2, but there are 2 node_names",
        ),
        ({"node": np.zeros((4, 1))}, r"node must hold one id per row.*\(4, 1\)"),
    ],
)
def test_fields_that_do_not_fit(fields, message):
    with pytest.raises(BadInput, match=message):
        Dataset(**({"x": X, "y": Y, "classes": 2} | fields))


def test_targets_of_several_columns_must_agree_between_training_and_test():
    with pytest.raises(BadInput, match=r"a test row of y has shape \(3,\), a training row \(2,\)"):
        Dataset(torch.zeros(4, 1), torch.zeros(4, 2), test_x=torch.zeros(1, 1), test_y=torch.zeros(1, 3))
