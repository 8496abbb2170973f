"""Every message between the parent and a node over the node's control channel, in both directions.

A message is plain values; what has tensors travels beside it as a tree. Before these comes the set-up of a process
(``launch.py``). What an algorithm sends goes over other connections, which are counted.

    parent                      node
    a role                ->
                          <-    Ready
    Connection            ->    one for each of its connections; after Disconnect anew
    Go                    ->
    what belongs to the role, either way
    End                   ->
"""

from __future__ import annotations

import traceback
from typing import Any

import msgspec

from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.wire.rhythm import Rhythm


class Message(msgspec.Struct, tag=True, kw_only=True):
    """A message, and the number of the run that it belongs to: what comes later is void. The sender fills it in."""

    run: int = 0


# -- every run -----------------------------------------------------------------------------------------------------


class Role(Message):
    """Parent: what a node is from now on, and by which wire it is connected."""

    wire: str


class Ready(Message):
    """Node: it has loaded all that it needs."""


class Connection(Message):
    """Parent: a connection to this node. The socket comes with it; the parent made both ends, and keeps none."""

    to: int


class Disconnect(Message):
    """Parent: close all connections, for somebody was lost meanwhile. Others follow."""


class Go(Message):
    """Parent: everybody is ready. ``origin``: when time was 0, in seconds of the system's monotonic clock."""

    origin: float
    nodes: list[int]  # who takes part, ascending
    gone: dict[int, str]  # who is lost, and how
    store: str = ""  # the file in which gloo's processes meet


class End(Message):
    """Parent: the run is over."""


class Done(Message):
    """Node: the program has ended here, after so many commits."""

    commit: int


class Raised(Message):
    """Node: the program raised an error. Of a joint program also the ``account``, and as tree the ``books``."""

    kind: str
    text: str
    log: str  # the traceback behind it
    account: Account | None = None


def raised(error: BaseException, account: Account | None = None) -> Raised:
    """The message for an error."""
    error = innermost(error)
    log = getattr(error, "log", "") or "".join(traceback.format_exception(error))
    return Raised(type(error).__name__, str(error), log, account)


def innermost(error: BaseException) -> BaseException:
    """The error itself, where a program's TaskGroup has wrapped it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


# -- a parameter server and its workers ----------------------------------------------------------------------------


class Work(Role):
    """Parent: be a worker, and answer the jobs that come over the wire."""


class NewPlan(Message):
    """Parent: a pickled plan that jobs name by this number from now on."""

    id: int
    pickled: bytes


class NodeState(Message):
    """Parent: keep the tree, tensors by owner, under this number. Comes before the first job that begins from it."""

    number: int


class Fetch(Message):
    """Parent: send what you keep under these numbers and owners, for a checkpoint. The answer is ``Fetched``."""

    request: int
    states: list[tuple[int, str]]


class Fetched(Message):
    """Node: as tree, a list of what was asked for, in its order."""

    request: int


class Cancel(Message):
    """Parent: nobody waits for this job any more."""

    ticket: int


# -- a program that all nodes run together -------------------------------------------------------------------------


class Join(Role):
    """Parent: run this pickled program with the others. Tree: the checkpoint to go on from, or None."""

    program: bytes
    exchange: str
    per_node: bool
    spin: bool  # every process has a core of its own
    rhythm: Rhythm


class Account(msgspec.Struct):
    """What a node has on its account since the last commit that it has told of."""

    notes: list[dict[str, Any]]  # by commit, what the parent makes of it
    measured: list[tuple[int, Meter]]  # by commit, the meter without this node's jobs, which are in the ledger
    planned: int | None
    remembers: bool  # whether any node has remembered something after a job


class Committed(Message):
    """Node: a commit was made. Tree: ``books``, from the lowest node; ``own``: what it remembers, if that is kept."""

    commit: int
    account: Account
    waits: bool
    kept: bool


class Word(Message):
    """Parent: whether a stop rule ends the run at the commit just told."""

    stop: bool


class Broke(Message):
    """Node: the exchange with the others broke after this commit."""

    commit: int
    why: str


class Give(Message):
    """Parent: give all that the others need to go on from your last commit."""


class Given(Message):
    """Node: the answer to ``Give``. Tree: ``again``, a checkpoint for the others; ``books``, for the parent."""

    account: Account


class Again(Message):
    """Parent: begin anew without those that are lost, from the tree's commit. ``recorded``: the parent's last one."""

    recorded: int


# -- a decentralised program ---------------------------------------------------------------------------------------


class BePeer(Role):
    """Parent: be a peer of this pickled program. Tree: what of a checkpoint is this node's, or None."""

    program: bytes


class PeerCommitted(Message):
    """Node: a peer's commit. Tree: its books."""

    commit: int
    planned: int | None
    meter: Meter


class JobFailed(Message):
    """Node: a job of the peer's failed; the values of ``core.types.update.Failed``."""

    failed: tuple[int, str, str, bool]


class Settled(Message):
    """Parent: messages that nobody will ask for any more, by neighbour and number: those taken, and those sent."""

    taken: list[tuple[int, int]]
    sent: list[tuple[int, int]]


class Crossing(Message):
    """Parent: send me these messages, by receiver and number, which cross a cut. Node: they are the tree."""

    numbers: list[tuple[int, int]] = []


class Waiting(Message):
    """Node: it waits for a message. Said when that begins, and when the parent asks."""

    asked: bool
    sent: int  # messages to those that are left
    received: int
    place: str | None  # in the program
    gone: int  # how many are lost, as far as it has heard


class StillWaiting(Message):
    """Parent: do you still wait? The answer is ``Waiting``."""


class Gone(Message):
    """Parent: a node is lost, and the run goes on."""

    node: int


# -- beside any program --------------------------------------------------------------------------------------------


class Aside(Message):
    """Parent: do this pickled plan's job beside the program; nothing is charged for it. Tree: ``args``, ``state``."""

    pickled: bytes
    count: int


class AsideAnswer(Message):
    """Node: the answer to ``Aside``. Tree: the tensors of the packed outcome."""

    outcome: Any


class Prepare(Message):
    """Parent: what the node is to make of its rows from now on, pickled."""

    pickled: bytes


class Met(Message):
    """Parent: what is known of all nodes, a pickled roster, where only their telling made it known."""

    pickled: bytes


_Any = (
    Ready | Connection | Disconnect | Go | End | Done | Raised | Work | NewPlan | NodeState | Fetch | Fetched
    | Cancel | Join | Committed | Word | Broke | Give | Given | Again | BePeer | PeerCommitted | JobFailed | Settled
    | Crossing | Waiting | StillWaiting | Gone | Aside | AsideAnswer | Prepare | Met
)  # fmt: skip


def read(plain: Any) -> Message:
    """The message that came over a channel as plain values."""
    return msgspec.convert(plain, _Any)  # type: ignore[no-any-return]
