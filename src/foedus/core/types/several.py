"""Where several values are taken, one alone is one of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def several(given: Any) -> tuple[Any, ...]:
    """The values as a tuple; of a single value, which a text and a class are too, a tuple of one.

    >>> several([1, 2]), several(3), several("auc")
    ((1, 2), (3,), ('auc',))
    """
    one = isinstance(given, str | bytes | type) or not isinstance(given, Iterable)
    return (given,) if one else tuple(given)
