"""Policy: a node's own word on what it is asked to do. Where a task reaches its node, its policy may refuse it, change
what is done, or slow it down.

What a node's owner allows, and what a node that lies or breaks does, are both policies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from foedus.core.types.aggregator import Aggregator
from foedus.core.types.job import Job, NodeState, NodeView
from foedus.core.types.transform import Transform
from foedus.core.types.update import Refused, Tensors, Update

Does = Callable[[NodeView, Tensors], tuple[Update, NodeState]]
"""What a job does at a node: its update, and the node's next state."""


@dataclass(frozen=True)
class Asked:
    """What a node is asked to do: its ``count``-th job, and what becomes of the answer.

    ``aggregator`` is None where answers are wanted one by one.
    """

    node: int
    count: int
    job: Job
    transforms: tuple[Transform, ...]
    aggregator: Aggregator | None


@dataclass(frozen=True)
class Policy:
    """The word of every node of a run: one frozen dataclass that travels to where the nodes are. This one allows all.

    A subclass overrides what it needs. Its answers depend on what it is given alone, and its random draws come from
    the view's key, so that a run has the same bits wherever it runs.
    """

    def refuses(self, asked: Asked) -> Refused | None:
        """The node's refusal, or None. Nothing is computed for it, and the round goes on without the node."""
        return None

    def does(self, asked: Asked, view: NodeView, args: Tensors, job: Does) -> tuple[Update, NodeState]:
        """What the node does: ``job(view, args)``, or something before, after or instead of it.

        What it returns is what the job would have: the transforms of the call come after it, and the parts are those
        that the job announced.
        """
        return job(view, args)

    def slowdown(self, node: int) -> float:
        """How many times as long the node's jobs take, from 1 up, on virtual time and on the wall clock alike."""
        return 1.0
