"""Curves: more of how good a model is than a number says, as plain values that a run keeps and a page draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Curves:
    """Of all rows that a run is measured on; what does not apply is None.

    ``round``        of which commit; where each half of the rows is of its own, of the later.   ``rows``  how many.
    ``roc``          of two classes: the false and the true positive rate at falling thresholds, from (0, 0) to (1, 1).
    ``at_half``      the same two rates at the probability 0.5.
    ``calibration``  of two classes: for every tenth of the probability that rows are in, how many they are, the mean of
                     what was said, and the share that was so.
    ``confusion``    rows by their class (first) and the predicted one.
    """

    round: int
    rows: float
    roc: Points | None = None
    at_half: tuple[float, float] | None = None
    calibration: list[tuple[float, float, float]] | None = None
    confusion: list[list[float]] | None = None

    def as_tree(self) -> dict[str, Any]:
        """For a file or a checkpoint."""
        return dict(vars(self))
