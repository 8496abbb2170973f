"""Suspicion: what a rule that joins updates has to say of one node."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from foedus.core.types.update import Tensors


class Suspicion(NamedTuple):
    """How a rule took one node's update.

    ``left_out``  which share of it the rule left out: 0 if it counted as any other, 1 if not at all. Of a trimmed mean
                  the share of coordinates at which it was trimmed, of a clip 1 minus its factor.
    ``distance``  how far it was from what the rule answered, against the median of these distances: 1 for a node that
                  was as far off as most, infinity for an update that was not finite.
    """

    left_out: float
    distance: float


UNUSABLE = Suspicion(1.0, math.inf)
"""Of a node whose answer is NaN, infinite or nothing that its job can answer."""

Suspicions = Mapping[int, Suspicion]
"""What a rule says of each node, by id."""


@runtime_checkable
class Judges(Protocol):
    """An aggregator that can tell how it took each node's update: ``judge`` is ``read``, and says that, too."""

    def judge(self, acc: Any, state: Any) -> tuple[Tensors, Any, Suspicions]: ...
