"""The data sets that come with scikit-learn."""

from functools import partial

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from foedus.data import arrays, load
from foedus.data.bundled import standardised

STANDARDISED = {
    "breast-cancer": (load_breast_cancer, 30),
    "wine": (load_wine, 13),
    "iris": (load_iris, 4),
    "diabetes": (partial(load_diabetes, scaled=False), 10),
}


def test_digits_are_scaled_and_held_out_in_proportion():
    data = load("digits")
    assert data.x.shape == (1438, 64)
    assert data.test_x.shape == (359, 64)
    assert data.x.dtype == torch.float32
    assert data.y.dtype == torch.int64
    assert (float(data.x.min()), float(data.x.max())) == (0.0, 1.0)
    assert data.classes == 10
    assert data.class_names == tuple("0123456789")
    assert data.name == "digits"
    whole = torch.from_numpy(load_digits().target).bincount()
    assert (data.test_y.bincount() - 0.2 * whole).abs().max() < 1
    assert torch.equal(data.test_y.bincount() + data.y.bincount(), whole)


def test_no_digit_is_lost_or_changed():
    data = load("digits", test=0.5)
    assert len(data.test_x) == 898
    rows = torch.cat([data.x, data.test_x]) * 16
    labels = torch.cat([data.y, data.test_y])
    expected = load_digits()
    assert sorted(zip(rows.tolist(), labels.tolist(), strict=True)) == sorted(
        zip(expected.data.tolist(), expected.target.tolist(), strict=True)
    )


@pytest.mark.parametrize("name", ["digits", *STANDARDISED])
def test_the_split_is_always_the_same_and_can_be_left_out(name):
    one, two = load(name), load(name)
    assert torch.equal(one.x, two.x)
    assert torch.equal(one.test_x, two.test_x)
    whole = load(name, test=None)
    assert whole.test_x is None
    assert len(whole) == len(one) + len(one.test_x)


@pytest.mark.parametrize("name", STANDARDISED)
def test_columns_are_standardised_by_the_training_rows_alone(name):
    data = load(name)
    loader, columns = STANDARDISED[name]
    raw = torch.from_numpy(loader().data)
    assert data.x.shape[1:] == (columns,)
    assert len(data.feature_names) == columns
    assert len(data.test_x) == round(0.2 * len(raw))
    assert data.x.double().mean(0).abs().max() < 1e-6
    assert (data.x.double().std(0, correction=0) - 1).abs().max() < 1e-6
    assert data.test_x.mean(0).abs().max() > 0.02  # the test rows took no part
    # One affine map takes the raw columns to both parts.
    scaled = torch.cat([data.x, data.test_x]).double()
    assert torch.allclose(
        (scaled.sort(0).values - scaled.mean(0)) / scaled.std(0, correction=0),
        (raw.sort(0).values - raw.mean(0)) / raw.std(0, correction=0),
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("name", "class_names", "counts"),
    [
        ("breast-cancer", ("malignant", "benign"), [212, 357]),
        ("wine", ("class_0", "class_1", "class_2"), [59, 71, 48]),
        ("iris", ("setosa", "versicolor", "virginica"), [50, 50, 50]),
    ],
)
def test_classes_by_name(name, class_names, counts):
    data = load(name)
    assert data.class_names == class_names
    assert torch.cat([data.y, data.test_y]).bincount().tolist() == counts
    assert (data.test_y.bincount() - 0.2 * torch.tensor(counts)).abs().max() < 1


def test_diabetes_keeps_the_units_of_its_target():
    data = load("diabetes")
    assert data.classes is None
    assert data.y.shape == (354,)
    y = torch.cat([data.y, data.test_y])
    assert (float(y.min()), float(y.max())) == (25.0, 346.0)
    # Least squares explains about half of the variance, as in the paper's data.
    x = torch.cat([data.x, torch.ones(354, 1)], 1)
    error = data.y - x @ torch.linalg.lstsq(x, data.y[:, None]).solution[:, 0]
    assert 1 - float(error.var() / data.y.var()) == pytest.approx(0.52, abs=0.04)


def test_a_column_that_never_varies_becomes_zero():
    data = standardised(arrays([[1.0, 7.0], [3.0, 7.0]], [0, 1], test=([[5.0, 8.0]], [1])))
    assert data.x.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert data.test_x.tolist() == [[3.0, 1.0]]
