"""Judged: at which round a run is judged, how well it did there, and how far that could be off for the rows' sake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Measured:
    """Values on some rows, and how each deviates for the sake of the rows that happen to be among them.

    ``values``      by metric.
    ``deviations``  by metric, ``GROUPS`` float32 numbers (little-endian): how much each group of rows moves
                    the value, to first order. The sum of their squares estimates the value's variance; the sum of
                    their products with those of another model on the same rows the covariance of both values, for a
                    row falls into the same group wherever it is judged (random groups and their jackknife: Wolter
                    2007, Introduction to Variance Estimation, chapters 2 and 4).
    """

    values: dict[str, float] = field(default_factory=dict)
    deviations: dict[str, bytes] = field(default_factory=dict)

    def deviation(self, metric: str) -> np.ndarray | None:
        """The deviations of one metric (G,), float64; None where they are not known."""
        found = self.deviations.get(metric)
        return None if found is None else np.frombuffer(found, dtype="<f4").astype(np.float64)


def as_bytes(deviations_G: np.ndarray) -> bytes:
    """Deviations as ``Measured`` keeps them."""
    return np.asarray(deviations_G).astype("<f4").tobytes()


def in_words(rounds: Sequence[int]) -> str:
    """Rounds within a sentence.

    >>> in_words((3,)), in_words((3, 1200))
    ('round 3', 'rounds 3 and 1,200')
    """
    return f"round{'s' if len(rounds) > 1 else ''} {' and '.join(f'{t:,}' for t in rounds)}"


@dataclass(frozen=True)
class Judged:
    """The point at which a run is judged, and what was measured there.

    ``rounds``   the round; or two, where the halves of the rows chose different ones: each half is judged in the
                 round that the other half chose.
    ``how``      ``"held out"``: chosen on rows that nodes hold out, judged on others.   ``"crossed"``: each half of the
                 rows judged in the round that the other half chose (cross-fitting).   ``"last"``: the last that was
                 evaluated, for no rows were there to choose on.
    ``by``       the metric by which it was chosen.
    ``rows``     how many rows it was judged on; ``rarest``: how many of these are of the rarest class, where there are
                 classes and it is known.
    ``here``     at the judged point.   ``last``: on the same rows in the last round that was evaluated.
    """

    rounds: tuple[int, ...]
    how: str
    by: str
    rows: int
    rarest: int | None
    here: Measured
    last: Measured
