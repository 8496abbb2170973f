"""What nodes remember, brought home for a checkpoint: the tensors, wherever a node keeps its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foedus.core.coordination.executor import Executor
from foedus.core.errors import BadInput

log = logging.getLogger("foedus")


@dataclass(frozen=True)
class AtHome:
    """The memory of all nodes as tensors.

    ``states``     by node and owner, as its last accepted answer left it.
    ``in_flight``  a stream's jobs in flight, each with what its node remembered when it was given.
    ``lost``       nodes whose memory is lost with them, and how they were; in the other two they remember nothing.
    """

    states: dict[int, dict[str, Any]]
    in_flight: list[dict[str, Any]]
    lost: dict[int, str]


def bring_home(executor: Executor, states: Mapping[int, dict[str, Any]], in_flight: Sequence[dict[str, Any]]) -> AtHome:
    """Have the executor fetch all of it, in one go."""
    whose = [*states, *(f["node"] for f in in_flight)]
    fetched = executor.fetch([*states.values(), *(f["state"] for f in in_flight)])
    lost = {n: executor.gone.get(n, "ended") for n, state in zip(whose, fetched, strict=True) if state is None}
    # Of a node that has lost a part, the rest is worth nothing: what the coordinator remembers of it fits no longer.
    found = [{} if n in lost or state is None else state for n, state in zip(whose, fetched, strict=True)]
    there = dict(zip(states, found[: len(states)], strict=True))
    flights = [{**f, "state": state} for f, state in zip(in_flight, found[len(states) :], strict=True)]
    return AtHome({n: state for n, state in there.items() if n not in lost}, flights, lost)


def begin_without(lost: Mapping[int, str], goes_on: bool) -> None:
    """A run goes on from a checkpoint that lacks the memory of these nodes: say so, or refuse.

    Errors: ``BadInput`` unless the run is one that goes on without nodes that are lost.
    """
    for node, how in lost.items():
        what = (
            f"what node {node} remembered (residuals, control variates, layers of its own) was in its process, which "
            f"{how}"
        )
        if not goes_on:
            raise BadInput(
                f"the checkpoint is not whole: {what}. Write checkpoints, train(..., out=FOLDER, checkpoint_every=1), "
                'and resume=True goes on from the last whole one; Processes(lost="skip") goes on from this one, and '
                "the node begins anew"
            )
        log.warning("node %d begins anew: %s", node, what)
