"""What nodes count in what a program minimises: by their rows, or all alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

from foedus.aggregators import Mean
from foedus.core.coordination.peer import Peer
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import ALIKE, REPORTED, Aggregator
from foedus.core.types.model import join
from foedus.core.types.update import Update

BY_ROWS, BY_NODES = "rows", "nodes"
"""What programs name as their ``objective``: the mean of the loss over all rows, or of the nodes' mean losses."""


def objective(aggregate: Aggregator) -> str:
    """``"rows"`` under a mean by rows, up to a cap or not; under any other rule nodes count alike: ``"nodes"``."""
    return BY_NODES if getattr(aggregate, "weight_range", ALIKE) == ALIKE else BY_ROWS


def check_objective(given: str) -> None:
    """Errors: ``BadInput``."""
    if given not in (BY_ROWS, BY_NODES):
        raise BadInput(f'objective is "rows" (nodes count by their rows) or "nodes" (all alike), got {given!r}')


def with_objective(program: Any, given: str) -> Any:
    """The program with another objective, where it has a choice: by its field ``objective``, or by a mean's weights."""
    if getattr(program, "objective", None) in (given, None) or not is_dataclass(program):
        return program
    assert not isinstance(program, type)
    names = {f.name for f in fields(program)}
    if "objective" in names:
        return replace(program, objective=given)
    if isinstance(getattr(program, "aggregate", None), Mean) and "aggregate" in names:
        with suppress(BadInput):  # of a program whose weights are its algorithm
            return replace(program, aggregate=Mean(weighted=given == BY_ROWS))
    return program


def length(given: str, peer: Peer) -> float:
    """How long a peer's step is: where nodes count by rows, its rows against the mean over nodes."""
    return peer.share if given == BY_ROWS else 1.0


def moved(given: str, peer: Peer, u: Update) -> Tensor:
    """How far a peer's model moves by a job's answer: its parameters as many times as far as its step is long. Float
    buffers (batch norm's statistics) are means, and go no further than the job says.
    """
    return join({**u.parts, "delta": length(given, peer) * u.parts["delta"]}, peer.layout)


def weights(aggregate: Aggregator, sizes: Sequence[int], nodes: Iterable[int]) -> list[float]:
    """What each node's answer counts: its rows under a mean by rows, up to its cap; under any other rule 1."""
    if objective(aggregate) == BY_NODES:
        return [1.0 for _ in nodes]
    most = getattr(aggregate, "weight_range", REPORTED)[1]
    return [min(float(sizes[n]), most) for n in nodes]


def share(aggregate: Aggregator, sizes: Sequence[int], nodes: Iterable[int]) -> float:
    """What these nodes count of what all count: |S| / N, or by rows under a mean by rows."""
    return sum(weights(aggregate, sizes, nodes)) / sum(weights(aggregate, sizes, range(len(sizes))))
