"""What nodes count, for programs that must know it beside the aggregator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from foedus.core.types.aggregator import ALIKE, REPORTED, Aggregator


def weights(aggregate: Aggregator, sizes: Sequence[int], nodes: Iterable[int]) -> list[float]:
    """What each node's answer counts: its rows under a mean by rows; under any other rule all count alike."""
    by_rows = getattr(aggregate, "weight_range", ALIKE) == REPORTED
    return [float(sizes[n]) if by_rows else 1.0 for n in nodes]


def share(aggregate: Aggregator, sizes: Sequence[int], nodes: Iterable[int]) -> float:
    """What these nodes count of what all count: |S| / N, or by rows under a mean by rows."""
    return sum(weights(aggregate, sizes, nodes)) / sum(weights(aggregate, sizes, range(len(sizes))))
