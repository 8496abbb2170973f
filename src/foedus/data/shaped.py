"""Rows brought to a shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from foedus.core.errors import BadInput


def shaped(x: NDArray[Any], shape: Sequence[int] | None) -> NDArray[Any]:
    """The rows ``x`` (N, ...) with this shape each, or as they are. Errors: ``BadInput`` if it does not fit."""
    if shape is None:
        return x
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not all(type(n) is int and n > 0 for n in shape):
        raise BadInput(f"shape must be positive integers such as (1, 28, 28), or None; got {shape!r}")
    if math.prod(shape) != (size := math.prod(x.shape[1:])):
        raise BadInput(f"shape {tuple(shape)} is {math.prod(shape)} numbers, a row has {size}")
    return x.reshape(len(x), *shape)
