"""LIBSVM's text: places, labels, several files; what is none is refused."""

import gzip

import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import Natural, load

ROWS = "+1 1:0.5 3:-2 # a comment\n-1 2:1e-1\n+1 1:1 2:2 3:3\n-1 3:4\n"


def write(file, text=ROWS):
    file.write_text(text)
    return file


def test_rows_are_dense_and_labels_in_order(tmp_path):
    data = load("libsvm", path=write(tmp_path / "a9a"), test=None)
    assert (data.class_names, data.y.tolist()) == (("-1", "1"), [1, 0, 1, 0])
    assert torch.equal(data.x, torch.tensor([[0.5, 0, -2], [0, 0.1, 0], [1, 2, 3], [0, 0, 4]]))
    (tmp_path / "b.svm.gz").write_bytes(gzip.compress(ROWS.encode()))
    assert torch.equal(load("libsvm", path=tmp_path / "b.svm.gz", test=None).x, data.x)
    assert load("libsvm", path=tmp_path / "a9a", test=None, features=7).x.shape == (4, 7)


def test_a_test_file_has_the_same_columns_whichever_places_it_names(tmp_path):
    train, test = write(tmp_path / "a9a"), write(tmp_path / "a9a.t", "-1 1:1\n+1 5:2\n")
    data = load("libsvm", path=train, test=str(test))
    assert data.x.shape == (4, 5)
    assert data.test_x[:, 4].tolist() == [0, 2]
    assert data.test_y.tolist() == [0, 1]


def test_places_count_from_0_in_all_files_if_they_do_in_one(tmp_path):
    train, test = write(tmp_path / "t", "1 1:7\n0 1:8\n"), write(tmp_path / "t.t", "1 0:9\n")
    data = load("libsvm", path=train, test=str(test))
    assert data.x.tolist() == [[0, 7], [0, 8]]
    assert data.test_x.tolist() == [[9, 0]]


def test_a_file_is_a_node(tmp_path):
    for name in ("ulm", "bonn"):
        write(tmp_path / f"{name}.svm")
    fed = load("libsvm", path=tmp_path, test=None).split(Natural())
    assert (fed.node_names, fed.sizes) == (("bonn", "ulm"), [4, 4])


def test_amounts_are_targets(tmp_path):
    amounts = write(tmp_path / "r", "".join(f"{i}.5 1:{i}\n" for i in range(10)))
    assert load("libsvm", path=amounts, test=None).classes is None
    many = write(tmp_path / "m", "".join(f"{i} 1:{i}\n" for i in range(30)))
    assert load("libsvm", path=many, test=None).classes is None
    assert load("libsvm", path=many, test=None, task="classification").classes == 30
    assert load("libsvm", path=write(tmp_path / "c"), test=None, task="regression").y.tolist() == [1, -1, 1, -1]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "is empty"),
        ("a,b\n1,2\n", {}, "cannot be read as LIBSVM's text: .*could not convert"),
        ("1 2:1 1:1\n", {}, "cannot be read as LIBSVM's text: .*sorted"),
        ("1 1\n", {}, "cannot be read as LIBSVM's text"),
        ("1 -4:1\n", {}, "cannot be read as LIBSVM's text"),
        ("1 2000000000:1\n0 1:1\n" * 100, {}, r"2,000,000,000 columns by its largest place.*take"),
        ("1\n0\n", {}, "labels and no values"),
        ("1 1:nan\n0 1:1\n", {}, "NaN"),
        ("1 1:1\n1 1:2\n", {}, "all rows have the label 1"),
        ("nan 1:1\n1 1:2\n", {}, "NaN|labels"),
        (ROWS, {"features": 2}, "cannot be read"),
        (ROWS, {"features": 0}, "features must be a positive integer"),
        (ROWS, {"task": "class"}, "task must be"),
        ("0.5 1:1\n1 1:2\n", {"task": "classification"}, r"labels must be integers, and one is 0\.5"),
        (ROWS, {"test": "nowhere"}, "there is no file nowhere"),
    ],
)
def test_what_is_refused(tmp_path, text, options, message):
    with pytest.raises(BadInput, match=message):
        load("libsvm", path=write(tmp_path / "t", text), **({"test": None} | options))
