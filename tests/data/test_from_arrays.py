"""Arrays become a data set; what cannot is refused with its place."""

import numpy as np
import pytest
import torch

from foedus.core.errors import BadInput
from foedus.data import Natural, arrays

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, np.int32, np.uint8, bool])
def test_x_becomes_float32_with_equal_values(kind):
    x = X.astype(kind)
    data = arrays(x, Y)
    assert data.x.dtype == torch.float32
    assert np.array_equal(data.x.numpy(), x.astype(np.float32))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.uint8])
def test_torch_x_becomes_float32_with_equal_values(dtype):
    x = torch.from_numpy(X).to(dtype)
    assert torch.equal(arrays(x, torch.from_numpy(Y)).x, x.float())


def test_float32_is_shared_and_odd_layouts_are_copied():
    x = torch.randn(6, 2)
    assert arrays(x, Y).x.data_ptr() == x.data_ptr()
    fixed = X.astype(np.float32)
    fixed.setflags(write=False)
    for odd in (fixed, X.astype(">f4"), np.asfortranarray(X.astype(np.float32)), X.astype(np.float32)[::-1]):
        data = arrays(odd, Y)
        assert np.array_equal(data.x.numpy(), odd)
        assert data.x.is_contiguous()
        data.x[0, 0] = 99.0
        assert 99.0 not in odd


def test_a_tensor_with_a_graph_is_detached():
    assert not arrays(torch.ones(6, 2, requires_grad=True), Y).x.requires_grad


@pytest.mark.parametrize("y", [Y, Y.astype(np.uint8), torch.from_numpy(Y).short(), Y.tolist()])
def test_integers_are_labels(y):
    data = arrays(X, y)
    assert data.classes == 3
    assert data.y.dtype == torch.int64
    assert data.y.tolist() == Y.tolist()


def test_booleans_are_two_classes():
    data = arrays(X, Y > 0)
    assert data.classes == 2
    assert data.y.tolist() == [0, 1, 1, 0, 1, 1]


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8])
def test_zeros_and_ones_of_several_columns_are_several_labels_a_row(dtype):
    y = np.array([[0, 1], [1, 1], [0, 0]], dtype)
    data = arrays(np.ones((3, 2)), y, test=(np.ones((3, 2)), y[::-1].astype(np.float32)))
    assert data.classes is None
    assert data.y.dtype == torch.float32
    assert data.y.tolist() == y.tolist()
    with pytest.raises(BadInput, match=r"integers of shape \(3, 2\) that are not all 0 or 1.*floats"):
        arrays(np.ones((3, 2)), 2 * y.astype(int))


def test_floats_are_a_regression_even_where_they_are_whole():
    data = arrays(X, Y.astype(float))
    assert data.classes is None
    assert data.y.dtype == torch.float32
    assert data.y.tolist() == Y.tolist()
    assert arrays(X, X).y.shape == (6, 2)


def test_classes_count_over_training_and_test_unless_given():
    assert arrays(X, Y, test=(X[:1], [4])).classes == 5
    assert arrays(X, Y, classes=7).classes == 7


def test_a_test_pair_is_kept_in_order():
    data = arrays(X, Y, test=(X[::-1][:2], [2, 1]))
    assert np.array_equal(data.test_x.numpy(), X[::-1][:2])
    assert data.test_y.tolist() == [2, 1]
    assert len(data) == 6


def test_a_test_fraction_takes_rows_out_with_their_labels_and_nodes():
    n = 50
    x, y, node = np.arange(n)[:, None], np.arange(n) % 5, np.arange(n) // 10
    data = arrays(x, y, node=node, test=0.2)
    kept, held = data.x[:, 0].long(), data.test_x[:, 0].long()
    assert len(held) == 10
    assert sorted(kept.tolist() + held.tolist()) == list(range(n))
    assert torch.equal(data.y, kept % 5)
    assert torch.equal(data.test_y, held % 5)
    assert data.node.tolist() == (kept // 10).tolist()
    assert torch.equal(arrays(x, y, test=0.2).test_x, data.test_x)  # always the same rows


@pytest.mark.parametrize(
    ("node", "order"),
    [
        ([10, 9, 10, 9, 9, 9], [9, 10]),  # by value, not as text
        (np.array([10, 9, 10, 9, 9, 9], dtype=np.uint8), [9, 10]),
        (torch.tensor([10, 9, 10, 9, 9, 9]), [9, 10]),
        (["b", "a", "b", "a", "a", "a"], ["a", "b"]),
        (np.array(["b", "a", "b", "a", "a", "a"], dtype=object), ["a", "b"]),
    ],
)
def test_node_ids(node, order):
    data = arrays(X, Y, node=node)
    assert sorted(set(data.node.tolist())) == order
    assert data.split(Natural()).sizes == [4, 2]


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (X[:5], Y, {}, r"the data: 5 rows of x but 6 of y"),
        (X[:0], Y[:0], {}, r"the data: there are no rows"),
        (X[:0], Y[:0], {"test": 0.5}, r"the data: there are no rows"),
        (X[:, 0], Y, {}, r"x must have rows and columns.*\(6,\)"),
        (np.float64(1), Y, {}, r"x must have rows and columns.*\(\)"),
        (X, Y[:, None], {}, r"y must have shape \(rows,\); it has shape \(6, 1\)"),
        (np.where(X == 5, np.nan, X), Y, {}, r"x has 1 NaN or infinite values, the first in row 2, column 1"),
        (np.where(X == 6, -np.inf, X), Y, {}, r"the data: x has 1 NaN.*row 3, column 0"),
        (np.where(X == 6, 1e300, X), Y, {}, r"x at \(3, 0\) is 1e\+300, too large for float32"),
        (X, np.where(Y == 2, np.nan, Y), {}, r"y has 2 NaN or infinite values, the first in row 2"),
        (X, Y - 1, {}, r"y has the negative label -1 in row 0: labels are 0 \.\. classes-1"),
        (X, Y, {"classes": 2}, r"label 2 in row 2 is outside the 2 classes 0\.\.1"),
        (X, Y, {"classes": 0}, r"classes must be a positive integer, got 0"),
        (X, Y, {"classes": True}, r"classes must be a positive integer, got True"),
        (X, Y.astype(float), {"classes": 3}, r"classes=3 is for labels, but y holds floats"),
        (np.full_like(X, "a", dtype=object), Y, {}, r"x holds 'a' \(str\) in row 0, column 0.*encode its columns"),
        (X, Y.astype(str).astype(object), {}, r"y holds '0' \(str\) in row 0.*numpy\.unique"),
        (X, np.array(list("abcabc")), {}, r"y holds text.*numpy\.unique\(y, return_inverse=True\)"),
        (X.astype(complex), Y, {}, r"x holds complex numbers"),
        (X.astype("datetime64[s]"), Y, {}, r"x holds dates \(dtype datetime64"),
        ([[1, 2], [3]], Y, {}, r"x is not an array of numbers"),
        (torch.eye(6).to_sparse(), Y, {}, r"x is not an array of numbers"),
        (X, Y, {"node": [1, 2]}, r"node must hold one id per row, shape \(6,\); it has shape \(2,\)"),
        (X, Y, {"node": [1, "a", 2, 3, 4, 5]}, r"all integers or all strings; it holds int, str"),
        (X, Y, {"node": ["a", None, "b", "c", "d", "e"]}, r"all integers or all strings; it holds NoneType, str"),
        (X, Y, {"node": np.arange(6.0)}, r"all integers or all strings; it has dtype float64"),
        (X, Y, {"test": 1.0}, r"test must be \(x, y\), a fraction between 0 and 1.*got 1\.0"),
        (X, Y, {"test": 0.0}, r"test must be .*got 0\.0"),
        (X, Y, {"test": 1}, r"test must be .*got 1$"),
        (X, Y, {"test": X}, r"test must be .*got a ndarray"),
        (X[:1], Y[:1], {"test": 0.5}, r"cannot hold out test rows: the data has 1 row"),
        (X, Y, {"test": (X[:, :1], Y)}, r"a test row of x has shape \(1,\), a training row \(2,\)"),
        (X, Y, {"test": (X, Y[:2])}, r"the test set: 6 rows of x but 2 of y"),
        (X, Y, {"test": (X[:0], Y[:0])}, r"the test set: there are no rows"),
        (X, Y, {"test": (X, Y.astype(float))}, r"y of the test set must be of the same kind as y"),
        (X, Y, {"test": (X, Y - 1)}, r"y of the test set has the negative label -1 in row 0"),
        (X, Y, {"test": (X * np.nan, Y)}, r"the test set: x has 12 NaN"),
    ],
)
def test_bad_input(x, y, options, message):
    with pytest.raises(BadInput, match=message):
        arrays(x, y, **options)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (np.uint8, torch.uint8),
        (np.int64, torch.int64),
        (np.int16, torch.int64),
        (np.int8, torch.int64),
        (np.float64, torch.float32),
        (bool, torch.float32),
    ],
)
def test_the_type_is_kept_where_asked(kind, kept):
    x = X.astype(kind)
    data = arrays(x, Y, test=(x[:2], Y[:2]), keep_dtype=True)
    assert (data.x.dtype, data.test_x.dtype) == (kept, kept)
    assert np.array_equal(data.x.numpy(), x)
    assert arrays(torch.from_numpy(x), Y, test=0.5, keep_dtype=True).test_x.dtype == kept


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<u4", "<u8", ">i4", "i1"])
def test_integers_that_torch_lacks_are_tokens(kind):
    assert arrays(X.astype(kind), Y.astype(kind), keep_dtype=True).x.tolist() == X.tolist()
    assert arrays(X, Y.astype(kind)).y.tolist() == Y.tolist()
    assert arrays(X, Y, node=Y.astype(kind)).node.tolist() == Y.tolist()


@pytest.mark.parametrize("kind", ["<f2", ">f4", ">f8", "longdouble"])
def test_numbers_that_torch_lacks_are_float32(kind):
    assert arrays(X.astype(kind), X.astype(kind)).x.tolist() == X.tolist()


@pytest.mark.parametrize("what", ["x", "y", "node"])
def test_integers_that_int64_cannot_hold_are_refused(what):
    given = {"x": X, "y": Y, "node": Y, "keep_dtype": True}
    large = np.array(given[what], dtype=np.uint64)
    large.flat[-1] = 2**63
    with pytest.raises(BadInput, match=rf"{what} at \(5,.*\) is 9223372036854775808, beyond 2\^63 - 1"):
        arrays(**(given | {what: large}))


@pytest.mark.parametrize("largest", [2**16, 10**9, 2**63 - 1])
def test_a_label_is_a_place_among_classes(largest):
    """Every class has an output and a count at every node: nobody means a billion of them by ten rows."""
    y = np.append(Y[:-1], largest)
    with pytest.raises(BadInput, match=rf"y has the label {largest} in 6 rows: .*numpy\.unique"):
        arrays(X, y)
    with pytest.raises(BadInput, match=r"classes is .*, at most 1,048,576 can be told apart"):
        arrays(X, Y, classes=2**21)
    assert arrays(X, np.append(Y[:-1], 2**16 - 1)).classes == 2**16


def test_frames_are_numbers_or_one_line():
    pd = pytest.importorskip("pandas")
    numbers = pd.DataFrame(
        {"a": pd.array([1, 2] * 3, "Int64"), "b": [0.5] * 6, "c": pd.array([True, False] * 3, "boolean")}
    )
    assert arrays(numbers, pd.Series(Y).astype("Int64")).x[:2].tolist() == [[1.0, 0.5, 1.0], [2.0, 0.5, 0.0]]
    assert arrays(X, pd.Series(Y).astype("category")).y.tolist() == Y.tolist()
    named = pd.Series(list("abcabc"))
    for y, message in (
        (named, r"y holds 'a' \(str\) in row 0.*numpy\.unique"),
        (named.astype("category"), r"y holds 'a' \(str\) in row 0"),
        (named.astype("string").where(named != "a"), r"y has nothing \(.*\) in row 0: remove or impute|y holds"),
        (pd.Series([0, None, 1] * 2, dtype=object), r"y has nothing \(None\) in row 1: remove or impute"),
        (pd.Series([0, 2**70, 1] * 2, dtype=object), r"y holds integers beyond 2\^63 - 1"),
        (np.ma.masked_array(Y, mask=Y == 1), r"y has masked values"),
    ):
        with pytest.raises(BadInput, match=message):
            arrays(X, y)
    with pytest.raises(BadInput, match=r"x holds 'u' \(str\) in row 0, column 1"):
        arrays(pd.DataFrame({"a": [1] * 6, "b": ["u"] * 6}), Y)


def test_pixels_are_shared_where_they_are_kept():
    x = torch.zeros(6, 2, dtype=torch.uint8)
    assert arrays(x, Y, keep_dtype=True).x.data_ptr() == x.data_ptr()


def test_inputs_that_are_asked_for_stay_that():
    class Doubled:
        def __len__(self):
            return 6

        def gather(self, index):
            return 2.0 * index[:, None]

    x = Doubled()
    assert arrays(x, Y).x is x
    data = arrays(x, Y, node=list("aabbcc"), test=0.5)
    rows = [(float(v), int(y)) for v, y in zip(data.x.gather(torch.arange(3)), data.y, strict=True)]
    held = [(float(v), int(y)) for v, y in zip(data.test_x.gather(torch.arange(3)), data.test_y, strict=True)]
    assert sorted(rows + held) == [(2.0 * i, i % 3) for i in range(6)]
    assert arrays(X, Y, test=(X[:1], Y[:1])).test_x.tolist() == [[0.0, 1.0]]
