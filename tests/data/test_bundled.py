"""The data sets that come with scikit-learn."""

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits

from foedus.data import load


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


@pytest.mark.parametrize("name", ["digits", "breast-cancer"])
def test_the_split_is_always_the_same_and_can_be_left_out(name):
    one, two = load(name), load(name)
    assert torch.equal(one.x, two.x)
    assert torch.equal(one.test_x, two.test_x)
    whole = load(name, test=None)
    assert whole.test_x is None
    assert len(whole) == len(one) + len(one.test_x)


def test_breast_cancer_is_standardised_by_its_training_rows_alone():
    data = load("breast-cancer")
    assert data.x.shape == (455, 30)
    assert data.test_x.shape == (114, 30)
    assert data.classes == 2
    assert data.class_names == ("malignant", "benign")
    assert torch.cat([data.y, data.test_y]).bincount().tolist() == [212, 357]
    assert data.x.double().mean(0).abs().max() < 1e-6
    assert (data.x.double().std(0, correction=0) - 1).abs().max() < 1e-6
    assert data.test_x.mean(0).abs().max() > 0.02  # the test rows took no part
    # One affine map takes the raw columns to both parts.
    raw = torch.from_numpy(load_breast_cancer().data)
    scaled = torch.cat([data.x, data.test_x]).double()
    assert torch.allclose(
        (scaled.sort(0).values - scaled.mean(0)) / scaled.std(0),
        (raw.sort(0).values - raw.mean(0)) / raw.std(0),
        atol=1e-4,
    )
