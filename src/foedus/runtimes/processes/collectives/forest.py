"""Forests: accumulators of some positions of a cohort, merged as far as ``MergeTree`` would by now.

Nodes merge what they have with what others send, in the order in which they are connected. A cohort may be any of
them, in another order: what would not be neighbours in the merge tree waits in the forest until its neighbour comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Forest = dict[tuple[int, int], Any]
"""``(height, index) -> accumulator`` of the positions from index * 2^height on; None if nothing came from them."""


def plant(positions: dict[int, Any]) -> Forest:
    """The forest of single positions."""
    return {(0, p): acc for p, acc in positions.items()}


def grow(a: Forest, b: Forest, positions: int, merge: Callable[[Any, Any], Any]) -> Forest:
    """Both forests as one, of a cohort of so many positions.

    >>> grow(plant({0: "a", 2: "c"}), plant({1: "b"}), 3, lambda x, y: f"({x}{y})")
    {(2, 0): '((ab)c)'}
    """
    forest = {**a, **b}
    height, trees = 0, positions
    while trees > 1:
        for h, i in sorted(forest):
            if h == height and i % 2 == 0:
                if i + 1 == trees:  # the last one without a neighbour goes up as it is
                    forest[height + 1, i // 2] = forest.pop((h, i))
                elif (h, i + 1) in forest:
                    left, right = forest.pop((h, i)), forest.pop((h, i + 1))
                    joined = merge(left, right) if left is not None and right is not None else left
                    forest[height + 1, i // 2] = right if left is None else joined
        height, trees = height + 1, (trees + 1) // 2
    return forest


def root(forest: Forest) -> Any:
    """The accumulator of all positions, when all have come."""
    [acc] = forest.values()
    return acc
