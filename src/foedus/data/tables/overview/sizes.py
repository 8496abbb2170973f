"""How many rows are trained on and how many judge, before anything is divided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SMALL = 2_000
"""A table with fewer rows has none to spare for a test set beside what its nodes hold out."""
HOLDOUT_SMALL, HOLDOUT_LARGE, TEST = 0.25, 0.1, 0.2


def shares(rows: int, own_test: bool) -> dict[str, Any]:
    """``test`` and ``holdout`` for a table of so many rows. ``own_test``: rows of their own judge already."""
    small = rows < SMALL
    test = {} if own_test else {"test": False if small else TEST}
    return {**test, "holdout": HOLDOUT_SMALL if small else HOLDOUT_LARGE}


def sentence(rows: int, nodes: Sequence[int] | None, test: Any, holdout: float) -> str:
    """What becomes of so many rows. ``nodes``: the rows of each node; None where that is not known."""
    tested = round(rows * test) if isinstance(test, float) else 0
    if nodes is None or tested:
        held = round((rows - tested) * holdout)
        about = "about "
    else:
        held = sum(min(max(round(n * holdout), 1), n - 1) if n > 1 else 0 for n in nodes)
        about = ""
    parts = [f"{held:,} that the nodes hold out"]
    if tested:
        parts.append(f"{tested:,} of no node")
    judge = parts[0] if len(parts) == 1 else f"{held + tested:,} ({' and '.join(parts)})"
    return f"of {rows:,} rows, {about}{rows - held - tested:,} are trained on, and {judge} judge"
