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


def said(trained: int, held: int, tested: int, about: str = "") -> str:
    """What becomes of the rows, in words: those trained on, those that nodes hold out, those of a test set.

    >>> said(552, 184, 184)
    'of 920 rows, 552 are trained on and 368 judge (184 held out by the nodes, 184 of no node)'
    """
    rows = trained + held + tested
    if rows == trained:
        return f"all {rows:,} rows are trained on, and none is left to judge by"
    if held and tested:
        whose = f"{held:,} held out by the nodes, {tested:,} of no node"
    else:
        whose = "held out by the nodes" if held else "of no node"
    return f"of {rows:,} rows, {about}{trained:,} are trained on and {held + tested:,} judge ({whose})"


def sentence(rows: int, nodes: Sequence[int] | None, test: Any, holdout: float) -> str:
    """The same before anything is divided. ``nodes``: the rows of each node; None where that is not known."""
    tested = round(rows * test) if isinstance(test, float) else 0
    if nodes is None or tested:
        held = round((rows - tested) * holdout)
        return said(rows - tested - held, held, tested, "about ")
    held = sum(min(max(round(n * holdout), 1), n - 1) if n > 1 else 0 for n in nodes)
    return said(rows - held, held, 0)
