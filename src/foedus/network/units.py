"""The field's units, as bytes per second and seconds."""

from __future__ import annotations


def mbit(x: float) -> float:
    """Megabits per second as bytes per second.

    >>> mbit(8)
    1000000.0
    """
    return x * 1e6 / 8


def gbit(x: float) -> float:
    """Gigabits per second as bytes per second.

    >>> gbit(10)
    1250000000.0
    """
    return x * 1e9 / 8


def milliseconds(x: float) -> float:
    """Milliseconds as seconds.

    >>> milliseconds(20)
    0.02
    """
    return x / 1e3
