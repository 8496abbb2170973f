"""npz files: arrays by name, types kept, nothing unpickled."""

import zipfile

import numpy as np
import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import Natural, load

X = np.arange(24, dtype=np.uint8).reshape(8, 3)
Y = np.arange(8) % 2


def saved(folder, **arrays):
    np.savez(folder / "held.npz", **({"x": X, "y": Y} | arrays))
    return folder / "held.npz"


def test_arrays_by_their_default_names(tmp_path):
    data = load("npz", path=saved(tmp_path, x_test=X[:2], y_test=Y[:2]))
    assert repr(data) == "Dataset('held': 8 rows of (3,), 2 classes, 2 test rows)"
    assert data.x.tolist() == X.tolist()
    assert data.test_y.tolist() == [0, 1]


def test_arrays_by_other_names(tmp_path):
    path = saved(tmp_path, pictures=X[::-1], digit=Y[::-1], of=np.array(list("bbaabbaa")))
    data = load("npz", path=path, x="pictures", y="digit", node="of", x_test="x", y_test="y")
    assert data.x.tolist() == X[::-1].tolist()
    assert data.test_x.tolist() == X.tolist()
    assert data.split(Natural(), holdout=0.5).node_names == ("a", "b")


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (np.uint8, torch.uint8),
        (np.int64, torch.int64),
        (np.int32, torch.int64),
        (np.float64, torch.float32),
        (np.float32, torch.float32),
        (bool, torch.float32),
    ],
)
def test_the_type_is_kept_unless_it_is_not_wanted(tmp_path, kind, kept):
    x = X.astype(kind)
    path = saved(tmp_path, x=x, x_test=x, y_test=Y)
    data, floats = load("npz", path=path), load("npz", path=path, keep_dtype=False)
    assert (data.x.dtype, data.test_x.dtype) == (kept, kept)
    assert (floats.x.dtype, floats.test_x.dtype) == (torch.float32, torch.float32)
    assert data.x.tolist() == floats.x.tolist() == x.tolist()


def test_floats_are_targets_and_a_fraction_is_held_out(tmp_path):
    data = load("npz", path=saved(tmp_path, y=Y / 3), test=0.25)
    assert repr(data) == "Dataset('held': 6 rows of (3,), regression, 2 test rows)"


def test_test_rows_can_be_left_alone(tmp_path):
    path = saved(tmp_path, x_test=X, y_test=Y)
    assert load("npz", path=path, x_test=None, y_test=None).test_x is None
    assert len(load("npz", path=path, x_test=None, y_test=None, test=0.5).test_x) == 4


class Trap:
    def __reduce__(self):
        return print, ("unpickled",)


def test_pickled_objects_are_never_loaded(tmp_path, capsys):
    with pytest.raises(BadInput, match=r"held\.npz: array 'x' holds pickled objects, which are never loaded"):
        load("npz", path=saved(tmp_path, x=np.array([Trap()] * 8)))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({}, {"x": "X"}, r"held\.npz has no array 'X': it has x, y; it may be x='x'$"),
        ({}, {"node": "who"}, r"held\.npz has no array 'who'"),
        ({"x_test": X}, {}, r"held\.npz has no array 'y_test'"),
        ({}, {"x_test": "xt", "y_test": "yt"}, r"held\.npz has no array 'xt'"),
        ({}, {"x_test": None}, r"x_test and y_test belong together"),
        (
            {"x_test": X, "y_test": Y},
            {"test": 0.2},
            r"has test rows of its own \(x_test, y_test\): leave out test, or give x_test=None and y_test=None",
        ),
        ({"y": Y[:5]}, {}, r"held\.npz: the data: 8 rows of x but 5 of y"),
        ({"x": np.array(["a"] * 8)}, {}, r"held\.npz: x holds text"),
        ({"x_test": X.astype("f"), "y_test": Y}, {}, r"x of the test set is torch\.float32, x torch\.uint8"),
    ],
)
def test_what_does_not_fit_names_the_file(tmp_path, arrays, options, message):
    with pytest.raises(BadInput, match=message):
        load("npz", path=saved(tmp_path, **arrays), **options)


def test_files_that_are_none(tmp_path):
    with pytest.raises(BadInput, match=r"none\.npz is not a file: path must be an \.npz file; numpy\.savez"):
        load("npz", path=tmp_path / "none.npz")
    with pytest.raises(BadInput, match=r"path must be the name of a file or folder, got 3"):
        load("npz", path=3)
    (tmp_path / "text.npz").write_text("not at all")
    with pytest.raises(BadInput, match=r"text\.npz is damaged or not an \.npz file"):
        load("npz", path=tmp_path / "text.npz")
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(BadInput, match=r"one\.npy holds a single array"):
        load("npz", path=tmp_path / "one.npy")


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_file_that_is_cut_short(tmp_path, keep):
    content = saved(tmp_path).read_bytes()
    (tmp_path / "held.npz").write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(BadInput, match=r"held\.npz is damaged"):
        load("npz", path=tmp_path / "held.npz")


def test_a_member_that_is_damaged(tmp_path):
    path = saved(tmp_path)
    with zipfile.ZipFile(path) as z:
        at = z.getinfo("x.npy").header_offset
    content = bytearray(path.read_bytes())
    content[at + 150] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(BadInput, match=r"held\.npz: array 'x' is damaged"):
        load("npz", path=path)
