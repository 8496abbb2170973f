"""Every message between the parent and a node over the node's control channel, in both directions.

A message is plain values; what has tensors travels beside it as a tree, named below. Before these come the set-up of a
process (``launch.py``) and who connects with whom (``rendezvous.py``). What an algorithm sends goes over other
connections, which are counted.

    parent                      node
    a role                ->
    rendezvous           <->    rendezvous, anew when somebody is lost meanwhile
                          <-    Ready
    Go                    ->
    what belongs to the role, either way
    End                   ->
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

import msgspec

from foedus.runtimes.processes.wire.meter import Meter


class ToNode(msgspec.Struct, tag=True):
    """From the parent to a node."""


class FromNode(msgspec.Struct, tag=True, kw_only=True):
    """From a node to the parent. ``run`` is the number of the run it belongs to: what comes later is void."""

    run: int = 0


# -- every run -----------------------------------------------------------------------------------------------------


class Role(ToNode):
    """What a node is from now on, in the run of this number, and what it is connected by."""

    run: int
    wire: str


class Ready(FromNode):
    """It has loaded all that it needs, and is connected."""


class Go(ToNode):
    """Everybody is ready. ``origin``: when time was 0, in seconds of the system's monotonic clock."""

    origin: float
    nodes: list[int]
    """Who takes part, ascending."""
    gone: dict[int, str]
    """Who is lost, and how."""
    store: str = ""
    """The file in which gloo's processes meet."""


class End(ToNode):
    """The run is over."""


class Done(FromNode):
    """The program has ended here, after so many commits."""

    commit: int


class Raised(FromNode):
    """The program raised an error here: its kind, its text, and the traceback behind it.

    Of a program that all run together also the ``account`` since the last commit told; tree: ``books``.
    """

    kind: str
    text: str
    log: str
    account: Account | None = None

    @classmethod
    def of(cls, error: BaseException, account: Account | None = None) -> Raised:
        """The message for an error."""
        error = innermost(error)
        log = getattr(error, "log", "") or "".join(traceback.format_exception(error))
        return cls(type(error).__name__, str(error), log, account)


def innermost(error: BaseException) -> BaseException:
    """The error itself, where a program's TaskGroup has wrapped it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


# -- a parameter server and its workers ----------------------------------------------------------------------------


class Work(Role):
    """Be a worker: answer the jobs that come over the wire."""


class NewPlan(ToNode):
    """A plan that jobs name by this number from now on, pickled."""

    id: int
    pickled: bytes


class Cancel(ToNode):
    """A job that nobody waits for any more, by its ticket."""

    ticket: int


class StateBefore(ToNode):
    """Tree: what the node remembers when it begins a job. Comes before the job."""

    ticket: int


class StateAfter(FromNode):
    """Tree: what the node remembers after a job. Comes before the answer."""

    ticket: int


# -- a program that all nodes run together -------------------------------------------------------------------------


@dataclass(frozen=True)
class Rhythm:
    """At which commits the parent is told all, and at which it has to say that the run goes on."""

    evaluate_every: int
    evaluate_nodes: int
    checkpoint_every: int
    """0 where nothing is written: then what can be gone on from is the last commit told."""
    rules: bool
    """Whether there are stop rules, which may end the run at any commit."""

    def evaluated(self, t: int) -> bool:
        """Whether a commit is evaluated wherever the run ends."""
        return t % self.evaluate_every == 0 or self._at_nodes(t)

    def told(self, t: int, planned: int | None) -> bool:
        """Whether the parent is told of it."""
        written = bool(self.checkpoint_every and t % self.checkpoint_every == 0)
        return self.rules or written or t == planned or self.evaluated(t)

    def waits(self, t: int, planned: int | None) -> bool:
        """Whether nodes wait for the parent's word. While it evaluates nobody computes: its time is not the run's."""
        return t != planned and (self.rules or self.evaluated(t))

    def keeps(self, t: int, planned: int | None) -> bool:
        """Whether the parent needs what nodes remember: to write it, or to evaluate at nodes with it."""
        written = t % (self.checkpoint_every or 1) == 0
        return self.rules or written or planned is None or t == planned or self._at_nodes(t)

    def _at_nodes(self, t: int) -> bool:
        return bool(self.evaluate_nodes and t % self.evaluate_nodes == 0)


class Join(Role):
    """Run the program (pickled) with the others. Tree: the checkpoint to go on from, or None."""

    program: bytes
    exchange: str
    rhythm: Rhythm
    per_node: bool
    spin: bool
    """Whether every process has a core of its own."""


class Account(msgspec.Struct):
    """What a node has on its account since the last commit that it has told of."""

    notes: list[dict[str, Any]]
    """By commit, what the parent makes of it; empty of all nodes but the lowest, where all tell."""
    measured: list[tuple[int, Meter]]
    """By commit, the meter without this node's jobs, which are in the ledger."""
    planned: int | None
    remembers: bool
    """Whether any node has remembered something after a job."""


class Committed(FromNode):
    """A commit was made. Tree: ``books``, from the lowest node; ``own``: what this node remembers, if that is kept."""

    commit: int
    account: Account
    waits: bool
    kept: bool


class Word(ToNode):
    """Whether a stop rule ends the run at the commit just told."""

    stop: bool


class Broke(FromNode):
    """The exchange with the others broke after this commit."""

    commit: int
    why: str


class Give(ToNode):
    """Give all that the others need to go on from your last commit."""


class Given(FromNode):
    """The answer to ``Give``. Tree: ``again``, a checkpoint for the others; ``books``, for the parent."""

    account: Account


class Again(ToNode):
    """Begin anew without those that are lost. Tree: where to go on from. ``recorded``: the parent's last commit."""

    recorded: int


# -- a decentralised program ---------------------------------------------------------------------------------------


class BePeer(Role):
    """Be a peer of this program (pickled). Tree: what of a checkpoint is this node's, or None."""

    program: bytes


class PeerCommitted(FromNode):
    """A peer's commit. Tree: its books."""

    commit: int
    planned: int | None
    meter: Meter


class JobFailed(FromNode):
    """A job of the peer's failed, as ``core.update.Failed`` has it."""

    node: int
    reason: str
    log: str
    nonfinite: bool


class Settled(ToNode):
    """Messages that nobody will ask for any more, by neighbour and number: those that it took, and that it sent."""

    taken: list[tuple[int, int]]
    sent: list[tuple[int, int]]


class Wanted(ToNode):
    """Send the parent these messages, by receiver and number: they cross a cut."""

    messages: list[tuple[int, int]]


class Crossing(FromNode):
    """The answer to ``Wanted``. Tree: the messages."""


class Waiting(FromNode):
    """A peer waits for a message: said when it begins to (not ``asked``), and when it is asked."""

    asked: bool
    sent: int
    received: int
    """Messages to and from those that are left."""
    place: str | None
    """Where in the program it waits."""
    gone: int
    """How many are lost, as far as it has heard."""


class StillWaiting(ToNode):
    """Do you still wait? The answer is ``Waiting``."""


class Gone(ToNode):
    """A node is lost, and the run goes on."""

    node: int


AnyToNode = (
    Work | Join | BePeer | Go | End | NewPlan | Cancel | StateBefore
    | Word | Give | Again | Settled | Wanted | StillWaiting | Gone
)  # fmt: skip
AnyFromNode = (
    Ready | Done | Raised | StateAfter | Committed | Broke | Given
    | PeerCommitted | JobFailed | Crossing | Waiting
)  # fmt: skip


def to_node(plain: Any) -> AnyToNode:
    """A message of the parent's, from what came over the channel."""
    return msgspec.convert(plain, AnyToNode)  # type: ignore[no-any-return]


def from_node(plain: Any) -> AnyFromNode:
    """A node's message."""
    return msgspec.convert(plain, AnyFromNode)  # type: ignore[no-any-return]
