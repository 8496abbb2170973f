"""Which array of an .npz file is what: by its name, else by its shape."""

import numpy as np
import pytest

from foedus.core.errors import BadInput
from foedus.data import load
from foedus.data.npz_file import Roles, headers, roles


def save(path, **arrays):
    np.savez(path / "a.npz", **arrays)
    return path / "a.npz"


X, Y = np.zeros((6, 4), "f"), np.arange(6) % 2
T, L = np.zeros((2, 4), "f"), np.arange(2)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x": X, "y": Y}, Roles("x", "y")),
        ({"y": Y, "X": X, "X_test": T, "y_test": L}, Roles("X", "y", None, "X_test", "y_test")),
        ({"images": X, "labels": Y, "client": Y}, Roles("images", "labels", "client")),
        ({"x_train": X, "y_train": Y, "x_test": T, "y_test": L}, Roles("x_train", "y_train", None, "x_test", "y_test")),
        ({"Data": X, "Target": Y, "test_images": T}, Roles("Data", "Target")),
        ({"arr_0": X, "arr_1": Y}, Roles("arr_0", "arr_1")),
        ({"pixels": X, "digit": Y, "small": np.zeros((2, 3))}, Roles("pixels", "digit")),
        ({"pixels": X, "name": np.array(list("abcdef")), "digit": Y}, Roles("pixels", "digit")),
    ],
)
def test_roles_and_what_they_load(tmp_path, arrays, expected):
    file = save(tmp_path, **arrays)
    assert roles(file) == expected
    data = load("npz", path=file, **expected.options)
    assert (len(data), data.classes) == (6, 2)
    assert (data.test_y is not None) == (expected.x_test is not None)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y}, r"a\.npz has no inputs .*: it has y \(6 of int64\)"),
        ({"x": X, "y": Y[:4]}, r"a\.npz has no labels .*: it has x \(6 x 4 of float32\), y \(4 of int64\)"),
        ({"x": X, "names": np.array(list("abcdef"))}, "has no labels"),
        ({}, "has no inputs .*: it has nothing"),
    ],
)
def test_nothing_that_could_be_it(tmp_path, arrays, message):
    with pytest.raises(BadInput, match=message):
        roles(save(tmp_path, **arrays))


def test_headers_read_no_array(tmp_path):
    file = save(tmp_path, x=X, big=np.zeros((1000, 1000)))
    assert {n: h.line for n, h in headers(file).items()} == {"x": "6 x 4 of float32", "big": "1000 x 1000 of float64"}


def test_shape_brings_pictures_without_a_channel_to_one(tmp_path):
    file = save(tmp_path, x=np.zeros((6, 3, 3), "uint8"), y=Y, x_test=np.zeros((2, 3, 3), "uint8"), y_test=L)
    data = load("npz", path=file, shape=[1, 3, 3])
    assert (data.x.shape, data.test_x.shape) == ((6, 1, 3, 3), (2, 1, 3, 3))
