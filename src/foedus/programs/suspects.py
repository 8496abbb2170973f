"""What programs that judge nodes by themselves say of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median

from foedus.core.types.suspicion import Suspicion


def suspicions(left_out: Mapping[int, float], distances: Mapping[int, float]) -> dict[int, Suspicion]:
    """Of every node in ``left_out`` which share of it was left out, and how far off it was against the median of the
    ``distances``, among which may be those of others (one's own model). Where the median is 0, who is farther is
    infinitely far off.

    >>> suspicions({3: 0.5}, {0: 1.0, 1: 1.0, 3: 4.0})
    {3: Suspicion(left_out=0.5, distance=4.0)}
    """
    usual = median(distances.values()) if distances else 0.0

    def against(d: float) -> float:
        return d / usual if usual else 0.0 if d == 0 else math.inf

    return {n: Suspicion(share, against(distances[n])) for n, share in left_out.items()}
