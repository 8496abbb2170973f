"""LEAF's files: users are nodes, text is tokens, and what does not agree is refused."""

import json

import numpy as np
import pytest

from foedus.core.errors import BadInput
from foedus.data import Natural, load


def write(file, data, **changes):
    counts = [len(own["y"]) for own in data.values()]
    said = {"users": list(data), "num_samples": counts, "user_data": data} | changes
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(said))
    return file


def own(rows, width=4, first=0.0):
    return {"x": (first + np.arange(rows * width).reshape(rows, width) / 8).tolist(), "y": [i % 3 for i in range(rows)]}


def test_users_of_all_files_are_nodes_and_test_rows_are_nobodys(tmp_path):
    write(tmp_path / "train" / "a.json", {"ann": own(3), "bob": own(5)})
    write(tmp_path / "train" / "b.json", {"cid": own(2), "ann": own(4, first=9.0), "dan": own(0)})
    write(tmp_path / "test" / "a.json", {"ann": own(2), "eve": own(3)})
    data = load("leaf", path=tmp_path)
    assert (len(data), data.classes, len(data.test_y)) == (14, 3, 5)
    fed = data.split(Natural())
    assert (fed.node_names, fed.sizes) == (("ann", "bob", "cid"), [7, 5, 2])
    ann = fed.x[fed.index[: fed.sizes[0]]]
    assert ann[:, 0].tolist() == [0.0, 0.5, 1.0, 9.0, 9.5, 10.0, 10.5]
    assert load("leaf", path=tmp_path, shape=[1, 2, 2]).x.shape == (14, 1, 2, 2)


def test_text_is_tokens_and_the_next_character_its_label(tmp_path):
    users = {"R": {"x": ["abca", "bcab"], "y": ["b", "c"]}, "J": {"x": ["cccc"], "y": ["z"]}}
    data = load("leaf", path=write(tmp_path / "s.json", users))
    assert data.class_names == ("a", "b", "c", "z")
    assert data.x.tolist() == [[0, 1, 2, 0], [1, 2, 0, 1], [2, 2, 2, 2]]
    assert data.y.tolist() == [1, 2, 3]


def test_labels_of_text_and_targets(tmp_path):
    users = {"u": {"x": [[1.0], [2.0]], "y": ["no", "yes"]}, "v": {"x": [[3.0]], "y": ["no"]}}
    data = load("leaf", path=write(tmp_path / "l.json", users))
    assert (data.class_names, data.y.tolist()) == (("no", "yes"), [0, 1, 0])
    users = {"u": {"x": [[1.0], [2.0]], "y": [0.5, 1.5]}, "v": {"x": [[3.0]], "y": [2]}}
    assert load("leaf", path=write(tmp_path / "r.json", users)).y.tolist() == [0.5, 1.5, 2.0]


def test_a_fraction_for_the_test(tmp_path):
    file = write(tmp_path / "s.json", {f"u{i}": own(10) for i in range(4)})
    assert len(load("leaf", path=file, test=0.25).test_y) == 10


@pytest.mark.parametrize(
    ("users", "changes", "message"),
    [
        ({"u": own(2)}, {"user_data": []}, 'it has no "user_data"'),
        ({"u": own(2)}, {"users": ["w"]}, 'its "users" are not those of "user_data"'),
        ({"u": own(2)}, {"num_samples": [3]}, "user 'u' has 2 rows, num_samples says 3"),
        ({"u": own(2)}, {"num_samples": 2}, '"num_samples" is not one number a user'),
        ({"u": {"x": [[1.0]], "y": [0, 1]}}, {}, 'user \'u\' must have lists "x" and "y" of the same length'),
        ({"u": {"x": [[1.0], [1.0, 2.0]], "y": [0, 1]}}, {}, "x of user 'u' has rows of different lengths"),
        (
            {"u": own(2), "w": own(2, width=3)},
            {},
            r"user 'w' are numbers of shape \(3,\), others numbers of shape \(4,\)",
        ),
        ({"u": {"x": [["a", "b"]], "y": [0]}}, {}, "lists of words are not read"),
        ({"u": {"x": ["abc", "ab"], "y": ["a", "b"]}}, {}, "texts of 2 to 3 characters"),
        ({"u": {"x": [[1.0]], "y": [[0]]}}, {}, "y of user 'u' must be one number or text a row"),
        ({"u": own(0)}, {}, "no user has a row"),
    ],
)
def test_what_does_not_agree(tmp_path, users, changes, message):
    with pytest.raises(BadInput, match=message):
        load("leaf", path=write(tmp_path / "s.json", users, **changes))


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, '{"user_data": {"u": 1' + "1" * 5000 + "}}"])
def test_what_is_no_such_file(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(BadInput, match=r"s\.json"):
        load("leaf", path=tmp_path / "s.json")


def test_options_that_do_not_fit(tmp_path):
    file = write(tmp_path / "s.json", {"u": own(5)})
    with pytest.raises(BadInput, match=r"shape \(1, 3\) is 3 numbers, a row has 4"):
        load("leaf", path=file, shape=[1, 3])
    with pytest.raises(BadInput, match="shape must be positive integers"):
        load("leaf", path=file, shape="1x4")
    write(tmp_path / "f" / "train" / "a.json", {"u": own(5)})
    write(tmp_path / "f" / "test" / "a.json", {"u": own(5)})
    with pytest.raises(BadInput, match=r"test rows of its own, in test/: leave out test"):
        load("leaf", path=tmp_path / "f", test=0.2)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(BadInput, match=r"has no \.json file"):
        load("leaf", path=tmp_path / "nothing")
