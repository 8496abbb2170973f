"""How many processors there are, and how many processes are worth a measurement."""

from __future__ import annotations

import os


def cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every Unix
        return os.cpu_count() or 1


def usual_processes(available: int) -> tuple[int, ...]:
    """1, 2, 4 ... up to twice the cores, and the cores themselves.

    >>> usual_processes(2), usual_processes(6)
    ((1, 2, 4), (1, 2, 4, 6, 8))
    """
    powers = [2**k for k in range((2 * available).bit_length()) if 2**k <= 2 * available]
    return tuple(sorted({*powers, available}))
