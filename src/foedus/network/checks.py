"""What several parts of a cost model ask of their numbers."""

from __future__ import annotations

import math
from numbers import Real

from foedus.core.errors import BadInput


def is_number(value: object) -> bool:
    """Whether it is a real number, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)


def speed(name: str, value: float, unit: str) -> None:
    """Errors: ``BadInput`` unless it is positive; infinity is no limit."""
    if not is_number(value) or not value > 0:
        raise BadInput(f"{name} is {value!r}: it must be a positive number of {unit} (math.inf for no limit)")


def positive(name: str, value: float, unit: str) -> None:
    """Errors: ``BadInput`` unless it is positive and finite."""
    if not is_number(value) or not 0 < value < math.inf:
        raise BadInput(f"{name} is {value!r}: it must be a positive, finite number of {unit}")


def not_negative(name: str, value: float, unit: str = "") -> None:
    """Errors: ``BadInput`` unless it is finite and not negative."""
    if not is_number(value) or not 0 <= value < math.inf:
        raise BadInput(f"{name} is {value!r}: it must be a finite number of at least 0{' ' + unit if unit else ''}")
