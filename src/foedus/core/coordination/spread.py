"""How unequal numbers of nodes are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean


def worst_tenth(values: Sequence[float], higher: bool) -> float:
    """The mean over the worst tenth of values, rounded up to at least one. ``higher``: whether more is better.

    >>> worst_tenth([0.9, 0.5, 0.8], higher=True), worst_tenth([0.9, 0.5, 0.8], higher=False)
    (0.5, 0.9)
    """
    return fmean(sorted(values, reverse=not higher)[: math.ceil(len(values) / 10)])
