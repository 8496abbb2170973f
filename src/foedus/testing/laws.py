"""What a broken law says, and what is compared."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import cloudpickle
import torch
from torch import Tensor

from foedus.core.records.run import Record
from foedus.core.types.keys import Key
from foedus.core.types.transform import Shapes, shapes_of
from foedus.core.types.trees import flatten, unflatten
from foedus.core.types.update import Tensors, Update

CLOSE = 1e-6
"""What the order of floating-point sums may change, relative to the largest number at hand (at least 1)."""


class Laws:
    """Says which law of which subject was broken."""

    def __init__(self, subject: Any) -> None:
        self._subject = repr(subject)

    def require(self, holds: bool, law: str, expected: Any, came: Any) -> None:
        """The law, if it does not hold."""
        if not holds:
            raise AssertionError(f"{self._subject} breaks the law {law!r}: expected {expected}; got {came}")

    @contextlib.contextmanager
    def attempt(self, law: str, expected: str) -> Iterator[None]:
        """An error in the subject's own code is a broken law, too."""
        try:
            yield
        except AssertionError:
            raise
        except Exception as e:
            came = f"{type(e).__name__}: {e}"
            raise AssertionError(f"{self._subject} breaks the law {law!r}: expected {expected}; got {came}") from e

    def same(self, came: Tensors, expected: Tensors, law: str) -> None:
        """Equal names, shapes, dtypes and bits."""
        self._alike(came, expected, law)
        for name, e in expected.items():
            self.require(
                _bits(came[name]) == _bits(e), law, f"the very bits of {_show(name, e)}", _show(name, came[name])
            )

    def close(self, came: Tensors, expected: Tensors, law: str, tolerance: float = CLOSE) -> None:
        """Equal names and shapes, and numbers that agree to ``tolerance``."""
        self._alike(came, expected, law)
        for name, e in expected.items():
            gap = float((came[name].double() - e.double()).abs().max()) if e.numel() else 0.0
            scale = max(1.0, float(e.abs().max())) if e.numel() else 1.0
            self.require(gap <= tolerance * scale, law, f"{_show(name, e)} to {tolerance:g}", _show(name, came[name]))

    def finite(self, came: Tensors, law: str) -> None:
        """No NaN, no infinity."""
        for name, t in came.items():
            self.require(bool(torch.isfinite(t.double()).all()), law, "finite numbers", _show(name, t))

    def _alike(self, came: Tensors, expected: Tensors, law: str) -> None:
        self.require(shapes_of(came) == shapes_of(expected), law, dict(shapes_of(expected)), dict(shapes_of(came)))

    def storable(self, tree: Any, law: str) -> Any:
        """A tree that a checkpoint can hold; returns it as it comes back."""
        with self.attempt(law, "a tree of tensors, numbers, strings, None, dicts, lists, tuples and States"):
            plain, tensors = flatten(tree)
            return unflatten(json.loads(json.dumps(plain)), [t.clone() for t in tensors])

    def portable(self, thing: Any) -> None:
        """It travels to workers, and its repr (which names its memory in a checkpoint) is the same there."""
        law = "travels as data"
        with self.attempt(law, "something that cloudpickle can copy"):
            twin = cloudpickle.loads(cloudpickle.dumps(thing))
        self.require(
            repr(twin) == repr(thing),
            law,
            f"a copy with the same repr, {thing!r} (make it a frozen dataclass)",
            repr(twin),
        )


def _bits(t: Tensor) -> bytes:
    return t.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()  # NumPy has no bfloat16


def _show(name: str, t: Tensor) -> str:
    numbers = t.flatten().tolist()
    return f"{name} {numbers[:8]}" + (" ..." if len(numbers) > 8 else "")


def clone(tree: Any) -> Any:
    """A tree of tensors of their own memory."""
    plain, tensors = flatten(tree)
    return unflatten(plain, [t.clone() for t in tensors])


def update(shapes: Shapes, key: Key, weight: float = 1.0, node: int = 0, scale: float = 0.1) -> Update:
    """An update of these shapes, drawn from a key."""
    parts = {
        name: torch.randn(shape, generator=key.child(name).torch(), dtype=dtype) * scale
        for name, (shape, dtype) in shapes.items()
    }
    return Update(parts, weight, {}, node)


REAL_TIME = ("wall_s",)
"""Fields of a record that no two runs share."""
ANY_TIME = (
    "wall_s",
    "virtual_s",
    "median_s",
    "compute_s",
    "wire_s",
    "waiting_s",
    "serial_s",
    "off_s",
    "lost_s",
    "awaited_s",
)
"""Fields that only simulations share, of a record and of costs."""


def same_history(a: Sequence[Record], b: Sequence[Record], ignore: Sequence[str] = REAL_TIME) -> str:
    """Where two histories differ in anything but ``ignore``, in words; empty if they do not."""
    if len(a) != len(b):
        return f"{len(a)} records and {len(b)}"
    for x, y in zip(a, b, strict=True):
        for name, mine in asdict(x).items():
            theirs = getattr(y, name)
            if name not in ignore and repr(mine) != repr(theirs):  # repr, so that NaN is NaN
                return f"commit {x.round}: {name} is {mine!r} and {theirs!r}"
    return ""
