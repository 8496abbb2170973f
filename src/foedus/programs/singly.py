"""Rules in programs that join values which are at hand one by one: neighbours' models, buckets, a buffer."""

from __future__ import annotations

from foedus.core.coordination.federation import Phased
from foedus.core.coordination.given import check_aggregator
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator


def check_single(aggregate: Aggregator) -> None:
    """Errors: ``BadInput`` for an aggregator that joins answers in an exchange of its own with the nodes."""
    check_aggregator(aggregate)
    if isinstance(aggregate, Phased):
        raise BadInput(
            f"{aggregate!r} joins answers in an exchange of its own between a server and its nodes, and here they are "
            "at hand one by one: use an aggregator that joins what is at hand, such as Mean() or Median()"
        )


def least(aggregate: Aggregator) -> int:
    """Fewest values with which a rule keeps its promise; 1 of an aggregator that makes none."""
    return int(aggregate.least()) if hasattr(aggregate, "least") else 1


def needs(aggregate: Aggregator, what: str) -> str:
    """How many values a rule needs, as the begin of a sentence; ``what`` they are, in the plural."""
    promise = getattr(aggregate, "breakdown", "")
    return f"{aggregate!r} needs {promise}{', ' if promise else ''}at least {least(aggregate)} {what}"
