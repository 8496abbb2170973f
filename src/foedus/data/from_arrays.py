"""Data sets from arrays that are already in memory."""

from __future__ import annotations

import reprlib
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
from foedus.data.groups import numbered
from foedus.data.holdout import check_seed, holdout

MOST_UNSAID = 2**16
"""The largest label may mean so many classes, or as many as there are rows; a larger one is no place of a class."""


def arrays(
    x: Any,
    y: Any,
    node: Any = None,
    test: Any = None,
    *,
    group: Any = None,
    classes: int | None = None,
    name: str = "arrays",
    keep_dtype: bool = False,
    test_seed: int = 0,
) -> Dataset:
    """A data set of NumPy arrays, torch tensors, or anything that ``numpy.asarray`` understands.

    ``x`` (N, ...) numbers, converted to float32 without scaling; a contiguous, writable float32 array is not copied.
    With ``keep_dtype`` uint8 pixels stay uint8 (a ``Model`` scales them to [0, 1]) and others are tokens, int64.
    ``Examples`` stay what they are.
    ``y`` decides by its type what is learned. Integers or booleans (N,) are labels 0 .. C-1; ``classes`` is C, by
    default the largest label of training and test rows plus one. Floats (N,) or (N, ...) are targets of a regression.
    Integers or booleans (N, L) that are 0 or 1 are L labels a row, each true or not: float32 targets, for ``bce``.
    ``node`` (N,) one id per row, integers or strings, for ``Natural()``.
    ``group`` (N,) what rows belong together by, integers or strings: all rows of one are on one side of every split.
    ``test`` is held-out rows ``(x, y)``; or a fraction in (0, 1) of the rows, in proportion to the classes, drawn by
    ``test_seed``; or None. A node all of whose rows are drawn is no node any more.
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
        return kept(values, what) if keep_dtype else _numbers(values, what)

    x_all, y_all = read(x, "x"), _targets(y, "y")
    x_test, y_test, fraction = _test(test, read)
    if y_test is not None and y_test.dtype != y_all.dtype:
        raise BadInput("y of the test set must be of the same kind as y: both integer labels or both float targets")
    count = _classes(y_all, y_test, classes)
    groups = None if group is None else _ids(group, "group")
    data = Dataset(
        x_all,
        y_all,
        count,
        node=None if node is None else _ids(node, "node"),
        test_x=x_test,
        test_y=y_test,
        name=name,
        units=None if groups is None else torch.from_numpy(numbered(groups)),
        group=groups,
    )
    return data if fraction is None else held_out(data, fraction, test_seed)


def held_out(data: Dataset, fraction: float, seed: int = 0) -> Dataset:
    """The data set with this fraction of its rows, drawn by the seed, as its test set; classes in proportion."""
    check_seed(seed)
    train, test = holdout(data.y, data.classes, fraction, Key(int(seed)).child("holdout"), data.group)
    units = torch.arange(len(data)) if data.units is None else data.units
    return replace(
        data,
        x=take(data.x, train),
        y=data.y[train],
        node=None if data.node is None else data.node[train.numpy()],
        group=None if data.group is None else data.group[train.numpy()],
        test_x=take(data.x, test),
        test_y=data.y[test],
        units=units[train],
        test_units=units[test],
    )


_KINDS = {
    "U": "text", "S": "bytes", "c": "complex numbers", "M": "dates", "m": "durations", "V": "records with fields",
}  # fmt: skip
"""What arrays hold that are no numbers, by NumPy's letter."""
_NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)
"""What single objects are that are numbers."""


def _array(values: Any, what: str) -> NDArray[Any]:
    """The values as a numeric array."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        if values.dtype.is_floating_point and values.dtype not in (torch.float32, torch.float64):
            values = values.float()  # NumPy has no bfloat16
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise BadInput(f"{what} has masked values: remove or impute them")
    try:
        a = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as e:
        raise BadInput(f"{what} is not an array of numbers: {e}") from e
    if a.dtype.kind == "O":
        a = _of_objects(a, what)
    if a.dtype.kind not in "fiub":
        raise BadInput(
            f"{what} holds {_KINDS.get(a.dtype.kind, '')} (dtype {a.dtype}), numbers are needed: "
            + _advice(what, a.dtype.kind)
        )
    return a


def _of_objects(a: NDArray[Any], what: str) -> NDArray[Any]:
    """Objects (of a list, of a data frame whose columns differ in type) as the numbers that they are."""
    kinds = {type(value) for value in a.flat}
    whole = not any(issubclass(k, float | np.floating) for k in kinds)
    dtype = np.bool_ if kinds <= {bool, np.bool_} else np.int64 if whole else np.float64
    if not all(issubclass(k, _NUMBERS) for k in kinds):
        at, value = next((i, v) for i, v in np.ndenumerate(a) if not isinstance(v, _NUMBERS))
        place = f"row {at[0]}" + "".join(f", column {i}" for i in at[1:]) if at else "its only value"
        if type(value).__name__ in ("NoneType", "NAType", "NaTType"):  # the others are those of pandas
            raise BadInput(f"{what} has nothing ({value!r}) in {place}: remove or impute what is missing")
        raise BadInput(
            f"{what} holds {reprlib.repr(value)} ({type(value).__name__}) in {place}, numbers are needed: "
            + _advice(what, "U" if isinstance(value, str | bytes) else "O")
        )
    try:
        return a.astype(dtype)
    except OverflowError as e:
        raise BadInput(f"{what} holds integers beyond 2^63 - 1, the largest that a tensor holds") from e


def _advice(what: str, kind: str) -> str:
    """What to do about values of this kind (NumPy's letter)."""
    if kind in "mM":
        return "make a number of each, such as days since the first"
    if what.split()[0] == "y" and kind in "US":
        return "names, y = numpy.unique(y, return_inverse=True) numbers them"
    return "convert it with .astype(float) or encode its columns as numbers"


def _integers(a: NDArray[Any], what: str) -> NDArray[Any]:
    """The same, which int64 can hold."""
    if a.dtype.kind == "u" and a.size and int(a.max()) > (largest := np.iinfo(np.int64).max):
        at = tuple(int(i) for i in np.argwhere(a > largest)[0])
        raise BadInput(f"{what} at {at} is {a[at]}, beyond 2^63 - 1, the largest integer that a tensor holds")
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


def kept(values: Any, what: str) -> Tensor:
    """Numbers in their kind: uint8 as it is, other integers int64, all else float32. Errors: ``BadInput``."""
    a = _array(values, what)
    if a.dtype.kind in "iu":
        return _tensor(a, np.uint8) if a.dtype == np.uint8 else _tensor(_integers(a, what), np.int64)
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
    labels = _tensor(_integers(a, what), np.int64)
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
        largest = max(int(t.max()) if t.numel() else 0 for t in (y, y_test) if t is not None)
        if largest >= max(MOST_UNSAID, len(y)):
            raise BadInput(
                f"y has the label {largest} in {len(y)} rows: that would be {largest + 1} classes, each with an output "
                "and a count; names, y = numpy.unique(y, return_inverse=True) numbers labels from 0 up"
            )
        return largest + 1
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 1:
        raise BadInput(f"classes must be a positive integer, got {classes!r}")
    return int(classes)


def _ids(ids: Any, what: str) -> NDArray[Any]:
    """The ids as int64 or text. An array of objects (a list, a pandas column) must be all integers or all strings."""
    if isinstance(ids, Tensor):
        ids = ids.detach().cpu().numpy()
    # By way of objects, since NumPy makes the list [1, "a"] text without a word.
    a = np.asarray(ids, dtype=object if isinstance(ids, list | tuple) else None)
    if a.dtype.kind == "O":
        found = a.ravel().tolist()
        if all(isinstance(i, str) for i in found):
            return a.astype(str)
        if not all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in found):
            kinds = ", ".join(sorted({type(i).__name__ for i in found}))
            raise BadInput(f"{what} must hold one id per row, all integers or all strings; it holds {kinds}")
        return _of_objects(a, what).astype(np.int64)
    if a.dtype.kind in "iu":
        return _integers(a, what).astype(np.int64)
    if a.dtype.kind == "U":
        return a
    raise BadInput(f"{what} must hold one id per row, all integers or all strings; it has dtype {a.dtype}")
