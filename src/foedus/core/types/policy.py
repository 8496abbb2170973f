"""Policy: a node's own word on what it is asked to do. Where a task reaches its node, its policy may refuse it, change
what is done, or slow it down.

What a node's owner allows, and what a node that lies or breaks does, are both policies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from foedus.core.types.aggregator import Aggregator
from foedus.core.types.job import Job, NodeState, NodeView
from foedus.core.types.keys import Key
from foedus.core.types.transform import Transform
from foedus.core.types.update import Refused, Tensors, Update

Does = Callable[[NodeView, Tensors], tuple[Update, NodeState]]
"""What a job does at a node: its update, and the node's next state."""


@dataclass(frozen=True)
class Asked:
    """What a node is asked to do: its ``count``-th job, and what becomes of the answer.

    ``aggregator`` is None where answers are wanted one by one. ``peer``: the node asks itself, as a peer does, and what
    others get of it is what it says to them.
    """

    node: int
    count: int
    job: Job
    transforms: tuple[Transform, ...]
    aggregator: Aggregator | None
    peer: bool = False


@dataclass(frozen=True)
class Gathered:
    """All that a coordinator was sent in one call, as it decodes it, before it is joined.

    ``updates`` by node id, ascending: of nodes that act together what they would have sent as honest ones.
    ``now`` are the nodes whose answers these are: all, but of a stream only the one that has just answered.
    ``aggregator`` is None where answers are wanted one by one. ``key`` is for draws of this call.
    """

    job: Job
    args: Tensors
    aggregator: Aggregator | None
    updates: Mapping[int, Update]
    now: tuple[int, ...]
    key: Key


class Collusion(Protocol):
    """Nodes that act together, and know what others send: what they send in a call in place of their answers.

    It is asked at the coordinator, where the updates of a call are together; no program and no honest node sees
    anything of it. ``members`` are their ids.
    """

    @property
    def members(self) -> frozenset[int]: ...

    def answers(self, gathered: Gathered, memory: Tensors) -> tuple[Mapping[int, Update], Tensors]:
        """What members send, by id, and what they remember from now on (nothing at first). It changes no tensor that
        it is given. In a stream ``updates`` are the last of every node that has been heard.
        """
        ...


@dataclass(frozen=True)
class Said:
    """A message that a peer is about to send: to whom, under which tag, in its ``round``-th round, from 0. ``key`` is
    for draws of this message.
    """

    node: int
    to: int
    tag: str
    round: int
    key: Key


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

    def bounds(self, asked: Asked) -> bool:
        """Whether the node does to its update what only bounds or hides it: those of the call's transforms that clip
        or add noise, and leave its shapes as they are. Nobody can see from outside whether it did.
        """
        return True

    @property
    def collusion(self) -> Collusion | None:
        """Nodes that act together and know what others send, if there are such."""
        return None

    @property
    def speaks(self) -> bool:
        """Whether ``says`` may change messages: only then does a peer keep what it has heard."""
        return False

    def says(self, said: Said, parts: Tensors, heard: Mapping[int, Tensors]) -> Tensors:
        """What a peer sends a neighbour in place of ``parts``, with the same names and shapes; it changes none of them.

        ``heard``: what it received last of each node, by id.
        """
        return parts
