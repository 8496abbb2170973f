"""Data sets from arrays that are already in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.data import Examples
from foedus.core.types.keys import Key
from foedus.data.dataset import Dataset
from foedus.data.examples import take
from foedus.data.holdout import holdout


def arrays(
    x: Any,
    y: Any,
    node: Any = None,
    test: Any = None,
    *,
    classes: int | None = None,
    name: str = "arrays",
    keep_dtype: bool = False,
) -> Dataset:
    """A data set of NumPy arrays, torch tensors, or anything that ``numpy.asarray`` understands.

    ``x`` (N, ...) numbers, converted to float32 without scaling; a contiguous, writable float32 array is not copied.
    With ``keep_dtype`` uint8 pixels stay uint8 (a ``Model`` scales them to [0, 1]) and others are tokens, int64.
    ``Examples`` stay what they are.
    ``y`` decides by its type what is learned. Integers or booleans (N,) are labels 0 .. C-1; ``classes`` is C, by
    default the largest label of training and test rows plus one. Floats (N,) or (N, ...) are targets of a regression.
    Integers or booleans (N, L) that are 0 or 1 are L labels a row, each true or not: float32 targets, for ``bce``.
    ``node`` (N,) one id per row, integers or strings, for ``Natural()``.
    ``test`` is held-out rows ``(x, y)``; or a fraction in (0, 1) of the rows, drawn always alike (the key is fixed) and
    in proportion to the classes; or None. A node all of whose rows are drawn is no node any more.
    Errors: ``BadInput`` for anything that does not fit, with the row where there is one.

    >>> import numpy as np
    >>> arrays(np.ones((10, 3)), np.arange(10) % 2, node=["ann", "bob"] * 5, test=0.2)
    Dataset('arrays': 8 rows of (3,), 2 classes, 2 test rows, a node for each row)
    >>> arrays(np.ones((10, 3)), np.linspace(0, 1, 10))
    Dataset('arrays': 10 rows of (3,), regression, no test rows)
    """

    def read(values: Any, what: str) -> Tensor | Examples:
        if isinstance(values, Examples) and not hasattr(values, "__array__"):
            return values
        return _kept(values, what) if keep_dtype else _numbers(values, what)

    x_all, y_all = read(x, "x"), _targets(y, "y")
    x_test, y_test, fraction = _test(test, read)
    if y_test is not None and y_test.dtype != y_all.dtype:
        raise BadInput("y of the test set must be of the same kind as y: both integer labels or both float targets")
    count = _classes(y_all, y_test, classes)
    data = Dataset(
        x_all, y_all, count, node=None if node is None else _node_ids(node), test_x=x_test, test_y=y_test, name=name
    )
    return data if fraction is None else held_out(data, fraction)


def held_out(data: Dataset, fraction: float) -> Dataset:
    """The data set with this fraction of its rows, always the same, as its test set; classes in proportion."""
    train, test = holdout(data.y, data.classes, fraction, Key(0).child("holdout"))
    return replace(
        data,
        x=take(data.x, train),
        y=data.y[train],
        node=None if data.node is None else data.node[train.numpy()],
        test_x=take(data.x, test),
        test_y=data.y[test],
    )


def _array(values: Any, what: str) -> NDArray[Any]:
    """The values as a numeric array."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        if values.dtype.is_floating_point and values.dtype not in (torch.float32, torch.float64):
            values = values.float()  # NumPy has no bfloat16
    try:
        a = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as e:
        raise BadInput(f"{what} is not an array of numbers: {e}") from e
    if a.dtype.kind not in "fiub":
        kind = {"O": "objects", "U": "text", "S": "bytes", "c": "complex numbers"}.get(a.dtype.kind, str(a.dtype))
        advice = (
            "names, y = numpy.unique(y, return_inverse=True) numbers them"
            if what.split()[0] == "y" and a.dtype.kind in "US"
            else "convert it with .astype(float) or encode its columns as numbers"
        )
        raise BadInput(f"{what} holds {kind} (dtype {a.dtype}), numbers are needed: {advice}")
    return a


def _tensor(a: NDArray[Any], dtype: type[np.generic]) -> Tensor:
    with np.errstate(over="ignore"):
        made = np.require(a, dtype=dtype, requirements=["C", "W"])  # copies only where it must
    return torch.from_numpy(made)


def _numbers(values: Any, what: str) -> Tensor:
    a = _array(values, what)
    t = _tensor(a, np.float32)
    if a.dtype.kind == "f" and a.dtype.itemsize > 4 and a.size and bool(torch.isinf(t).any()):
        large = np.isfinite(a) & np.isinf(t.numpy())
        if large.any():
            place = tuple(int(i) for i in np.argwhere(large)[0])
            raise BadInput(f"{what} at {place} is {a[place]}, too large for float32: scale the data first")
    return t


def _kept(values: Any, what: str) -> Tensor:
    a = _array(values, what)
    if a.dtype.kind in "iu":
        return _tensor(a, np.uint8 if a.dtype == np.uint8 else np.int64)
    return _numbers(a, what)


def _targets(values: Any, what: str) -> Tensor:
    a = _array(values, what)
    if a.dtype.kind == "f":
        return _numbers(a, what)
    if a.ndim == 2 and a.shape[1] > 1:  # several labels a row
        if bool(((a != 0) & (a != 1)).any()):
            raise BadInput(
                f"{what} holds integers of shape {a.shape} that are not all 0 or 1: labels are one a row, (rows,); "
                "several labels a row are 0 or 1 each; targets of a regression are floats, y.astype(float)"
            )
        return _tensor(a, np.float32)
    labels = _tensor(a, np.int64)
    if labels.numel() and int(labels.min()) < 0:
        first = int((labels.flatten() < 0).nonzero()[0])
        raise BadInput(
            f"{what} has the negative label {int(labels.flatten()[first])} in row {first}: labels are 0 .. classes-1, "
            "shift or renumber them (for a regression give floats)"
        )
    return labels


def _test(
    test: Any, read: Callable[[Any, str], Tensor | Examples]
) -> tuple[Tensor | Examples | None, Tensor | None, float | None]:
    if test is None:
        return None, None, None
    if isinstance(test, tuple | list) and len(test) == 2:
        return read(test[0], "x of the test set"), _targets(test[1], "y of the test set"), None
    if isinstance(test, float | np.floating) and 0.0 < test < 1.0:
        return None, None, float(test)
    shown = repr(test) if isinstance(test, int | float | str) else f"a {type(test).__name__}"
    raise BadInput(f"test must be (x, y), a fraction between 0 and 1 such as 0.2, or None; got {shown}")


def _classes(y: Tensor, y_test: Tensor | None, classes: int | None) -> int | None:
    if y.is_floating_point():
        if classes is not None:
            raise BadInput(
                f"classes={classes!r} is for labels, but y holds floats (a regression): "
                "give y as integers, or no classes"
            )
        return None
    if classes is None:
        return 1 + max(int(t.max()) if t.numel() else 0 for t in (y, y_test) if t is not None)
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 1:
        raise BadInput(f"classes must be a positive integer, got {classes!r}")
    return int(classes)


def _node_ids(node: Any) -> NDArray[Any]:
    """The ids as int64 or text. An array of objects (a list, a pandas column) must be all integers or all strings."""
    if isinstance(node, Tensor):
        node = node.detach().cpu().numpy()
    # By way of objects, since NumPy makes the list [1, "a"] text without a word.
    a = np.asarray(node, dtype=object if isinstance(node, list | tuple) else None)
    if a.dtype.kind == "O":
        ids = a.ravel().tolist()
        if all(isinstance(i, str) for i in ids):
            return a.astype(str)
        if not all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in ids):
            kinds = ", ".join(sorted({type(i).__name__ for i in ids}))
            raise BadInput(f"node must hold one id per row, all integers or all strings; it holds {kinds}")
        return a.astype(np.int64)
    if a.dtype.kind in "iu":
        return a.astype(np.int64)
    if a.dtype.kind == "U":
        return a
    raise BadInput(f"node must hold one id per row, all integers or all strings; it has dtype {a.dtype}")
