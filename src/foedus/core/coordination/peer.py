"""Peer: what a decentralised program sees. One of these runs at every node, and talks only to its neighbours.

A peer knows the others by its ``Transport``, which carries its messages and hears of its commits. All peers may share
one in one process (``transport.py``), or each may have its own, in a process of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from foedus.core.coordination.executor import Plan, Task
from foedus.core.coordination.given import check_args, check_job, check_state, first_state
from foedus.core.coordination.mistakes import Calls, awaited
from foedus.core.coordination.session import Session
from foedus.core.errors import BadInput, ProgramError
from foedus.core.records.ledger import Costs
from foedus.core.time.clock import AFTER_ALL, settle
from foedus.core.types.job import Job
from foedus.core.types.keys import Key
from foedus.core.types.model import Layout
from foedus.core.types.policy import Said
from foedus.core.types.roster import Roster
from foedus.core.types.state import State
from foedus.core.types.suspicion import Suspicions
from foedus.core.types.transform import nbytes, shapes_of
from foedus.core.types.update import Failed, Named, Tensors, Update


class Topology(Protocol):
    """Who talks to whom: a frozen dataclass."""

    def __hash__(self) -> int: ...

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        """Ids that ``node`` sends to, itself not among them."""
        ...


class _Everybody:
    """Who talks to whom where the program has no ``topology``."""

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        return tuple(n for n in range(nodes) if n != node)


def edges_of(topology: Topology, nodes: int) -> tuple[tuple[int, ...], ...]:
    """Whom every node sends to, ascending. Errors: ``BadInput`` for ids that are not there, or the node's own."""
    rows = []
    for node in range(nodes):
        row = tuple(sorted(set(topology.neighbours(node, nodes))))
        for n in row:
            if n == node or not 0 <= n < nodes:
                raise BadInput(
                    f"{topology!r} gives node {node} the neighbour {n}: ids are 0..{nodes - 1}, and not its own"
                )
        rows.append(row)
    return tuple(rows)


def edges_for(program: Any, roster: Roster) -> tuple[tuple[int, ...], ...]:
    """``edges_of`` a program's ``topology``; everybody sends to everybody where it has none.

    Errors: ``BadInput`` for nodes that join later, too.
    """
    if roster.may_grow:
        raise BadInput(
            "the graph of a decentralised program is of all nodes from the beginning, and here nodes join during the "
            "run: use a program that a server coordinates"
        )
    return edges_of(getattr(program, "topology", None) or _Everybody(), roster.nodes)


def senders_of(edges: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Who sends to every node, ascending."""
    rows: list[list[int]] = [[] for _ in edges]
    for node, row in enumerate(edges):
        for n in row:
            rows[n].append(node)
    return tuple(tuple(row) for row in rows)


@dataclass(frozen=True)
class Message:
    """What one peer sent another. ``seq`` counts the messages from ``frm`` to ``to``."""

    frm: int
    to: int
    tag: str
    seq: int
    parts: Tensors
    sent: float
    arrival: float

    @property
    def number(self) -> tuple[int, int, int]:
        """Sender, receiver and ``seq``: what tells it from all others."""
        return self.frm, self.to, self.seq


@dataclass
class Books:
    """What a peer's commit makes durable besides its state."""

    round: int = 0
    time: float = 0.0
    exchanges: int = 0
    uplink_free: float = 0.0
    sent: dict[int, int] = field(default_factory=dict)
    taken: list[tuple[int, int]] = field(default_factory=list)
    """``(frm, seq)`` of the messages consumed since the last cut."""
    inbox: list[tuple[int, int]] = field(default_factory=list)
    """``(frm, seq)`` of the messages that had arrived by the commit and were not consumed, in their order."""
    count: int = 0
    node_state: dict[str, Any] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)
    state: State | None = None
    weight: float = 1.0
    metrics: dict[str, float] = field(default_factory=dict)
    suspects: dict[int, tuple[float, float]] = field(default_factory=dict)
    """What this peer's rule said of others since its last commit: ``(left_out, distance)``, see ``Suspicion``."""
    heard: dict[int, Tensors] = field(default_factory=dict)
    """What came last of each node, where the policy wants to know."""
    loss: float | None = None

    def copy(self) -> Books:
        own = {"sent": dict(self.sent), "taken": list(self.taken), "inbox": list(self.inbox), "heard": dict(self.heard)}
        return Books(**{**vars(self), **own, "costs": self.costs.copy()})

    def as_tree(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {**vars(self), "costs": dict(vars(self.costs))}

    @staticmethod
    def from_tree(tree: dict[str, Any]) -> Books:
        """The books that ``as_tree`` wrote down, of their own memory."""
        taken = [(frm, seq) for frm, seq in tree["taken"]]
        inbox = [(frm, seq) for frm, seq in tree.get("inbox", ())]  # older checkpoints have none
        return Books(**{**tree, "costs": Costs(**tree["costs"]), "taken": taken, "inbox": inbox}).copy()


class Transport(Protocol):
    """What a peer knows of the world: who the others are, and who carries its messages to them."""

    session: Session
    """Clock, executor and keys of the peer's place; with one process for each, everyone has one of its own."""

    nodes: int
    edges: tuple[tuple[int, ...], ...]
    """Whom every node sends to, ascending."""

    @property
    def gone(self) -> Collection[int]:
        """Nodes that are lost for good: they send and get nothing any more. ``Peer.lost`` is called after a new one."""
        ...

    def senders(self, node: int) -> Sequence[int]:
        """Ids that send to a node, ascending."""
        ...

    def deliver(self, m: Message) -> None:
        """Carry a message; its tensors will not change. Its receiver's ``Peer.receive`` is called when it arrives."""
        ...

    def failure(self, failed: Failed) -> Exception:
        """What to raise for a job that failed."""
        ...

    def committed(self, peer: Peer) -> None:
        """A peer has made a commit: ``peer.books`` are what is to be kept of it."""
        ...


class Peer:
    """One node of a decentralised program.

    ``id``, ``neighbours`` (ids this node sends to, ascending), ``nodes``, ``layout``, ``now``, ``gone``. ``books``,
    ``receive`` and ``lost`` are for its transport.
    """

    def __init__(self, transport: Transport, id: int) -> None:
        self._transport, self._s, self.id = transport, transport.session, id
        self.neighbours = transport.edges[id]
        self.books = Books()
        self.calls = Calls("peer")
        self._inbox: list[Message] = []
        self._busy_until = 0.0
        self._waiting: list[tuple[Callable[[Message], bool], asyncio.Future[None]]] = []

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return self._transport.nodes

    @property
    def gone(self) -> frozenset[int]:
        """Nodes that are lost for good, as far as this one has heard; others may hear of it a round earlier or later.
        They count among ``nodes`` and ``neighbours``; what is sent to them goes nowhere.
        """
        return frozenset(self._transport.gone)

    @property
    def layout(self) -> Layout:
        """What the flat vector holds."""
        return self._s.model.layout

    @cached_property
    def share(self) -> float:
        """Its rows against the mean over all nodes: 2 for a node that trains on twice as many as the mean. It is told
        before the run begins, and does not change when nodes are lost.
        """
        sizes = self._s.roster.sizes
        return sizes[self.id] * len(sizes) / sum(sizes)

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self._s.clock.now

    @awaited
    async def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""
        await self._s.until(self.now + seconds, self.id)

    def key(self, *names: str | int) -> Key:
        """The key of a draw of this peer's; the names (a purpose and a round, say) tell it from all its others."""
        return self._s.key.child("peer", self.id, *names)

    @awaited
    async def begin(self, init: Callable[..., State]) -> State:
        """The first state: ``init(w)`` of the model's initial vector (``State`` itself makes ``State(w=w)``), or the
        one a stopped run left off with.
        """
        if self.books.state is None:
            w = self._s.model.initial.clone()
            self.books.state = State(w=w) if init is State else first_state(init, w)
        return self.books.state

    def rounds(self, n: int) -> Iterator[int]:
        """Round numbers from where this peer stands to n-1. Commit in every round."""
        if n < 1:
            raise BadInput(f"a run needs at least one round, got {n}")
        self._s.planned = n
        while self.books.round < n:
            before = self.books.round
            yield before
            if self.books.round == before:
                self.calls.check()
                raise ProgramError(f"round {before} ended without peer.commit(state): nothing of it would be kept")

    @awaited
    async def run(self, job: Job, args: Tensors) -> Update:
        """Compute a job on this node's own rows."""
        check_job(job)
        check_args(args)
        s, b = self._s, self.books
        count, b.count = b.count, b.count + 1
        placed = s.executor.place(dict(args))
        try:
            task = Task(self.id, count, b.node_state)
            outcome = await s.driver.at_peer(Plan(job, peer=True), placed, task, self._busy)
        finally:
            s.executor.release(placed)
        trained = job.work(s.roster.size(self.id)).trained
        b.costs.add(Costs(compute_s=outcome.seconds, samples=trained, jobs=1))
        match outcome.missing:
            case None:
                pass
            case Failed() as failed:
                raise self._transport.failure(failed)
            case missing:  # a peer is its node: nobody else can go on in its place
                raise self._transport.failure(Failed(self.id, missing.reason))
        b.node_state = {**b.node_state, **outcome.state}
        b.loss = outcome.metrics.get("loss")
        assert outcome.update is not None
        return outcome.update

    def _busy(self, until: float) -> None:
        self._busy_until = until

    @awaited
    async def send(self, to: int, parts: Tensors, tag: str = "") -> None:
        """Send tensors to a node, if it is not lost. Messages leave one after the other over this node's own uplink."""
        self._post(to, {k: v.clone() for k, v in parts.items()}, nbytes(shapes_of(parts)), tag)

    def _post(self, to: int, parts: Tensors, size: int, tag: str) -> None:
        if to == self.id or not 0 <= to < self.nodes:
            raise ProgramError(f"peer {self.id} cannot send to {to}: ids are 0..{self.nodes - 1}, and not its own")
        if to in self._transport.gone:
            return
        b, deliveries = self.books, self._s.deliveries
        mine, theirs = deliveries.link(self.id), deliveries.link(to)
        leaves = max(self.now, b.uplink_free)
        b.uplink_free = leaves + size / min(mine.up, theirs.down)
        seq = b.sent.get(to, 0)
        b.sent[to] = seq + 1
        if self._s.policy.speaks:
            parts = self._says(Said(self.id, to, tag, b.round, self._s.key.child("says", self.id, to, seq)), parts)
        arrival = b.uplink_free + mine.latency + theirs.latency
        b.costs.add(Costs(bytes_up=size, messages_up=1))
        self._transport.deliver(Message(self.id, to, tag, seq, parts, self.now, arrival))

    def _says(self, said: Said, parts: Tensors) -> Tensors:
        """What its policy makes of a message. Errors: ``ProgramError`` for other names or shapes."""
        made = dict(self._s.policy.says(said, parts, self.books.heard))
        if shapes_of(made) != shapes_of(parts):
            raise ProgramError(
                f"{self._s.policy!r} made of the message {shapes_of(parts)} one of {shapes_of(made)}: names and shapes "
                "stay what they are"
            )
        return made

    @awaited
    async def recv(self, tag: str = "", frm: int | None = None, timeout: float | None = None) -> Message | None:
        """The first message with this tag (from this node), in order of arrival; None when ``timeout`` seconds pass.

        Errors: ``ProgramError`` without ``timeout`` where whoever could send it is lost.
        """
        began = self.now
        deadline = None if timeout is None else began + timeout

        def wanted(m: Message) -> bool:
            return m.tag == tag and frm in (None, m.frm)

        while True:
            found = next((m for m in self._inbox if wanted(m)), None)
            if found is not None:
                self._take([found], began)
                return found
            if deadline is not None and self.now >= deadline:
                self.books.costs.add(Costs(waiting_s=self._blocked(began)))
                return None
            if deadline is None:
                self._require_a_sender(tag, frm)
            await self._until(wanted, deadline)

    @awaited
    async def exchange(
        self,
        parts: Tensors,
        *,
        to: Sequence[int] | None = None,
        frm: Sequence[int] | None = None,
        tag: str | int | None = None,
        instead: Tensors | None = None,
    ) -> Mapping[int, Tensors]:
        """Send to every neighbour and wait for what each sends; by node id in ascending order, self included.

        ``to``, ``frm``  whom to send to and wait for, where that is not all neighbours.
        ``tag``          tells this exchange from others (a round); by default peers count their exchanges.
        ``instead``      stands for what a node that is lost has not sent; None: the program cannot go on without it.
        What comes back is shared with those who got the same: it is not to be changed in place.

        Errors: ``ProgramError`` without ``instead`` where a node that is waited for is lost.
        """
        if tag is None:
            tag = self.books.exchanges
            self.books.exchanges += 1
        name = f"exchange {tag}"
        copies = {k: v.clone() for k, v in parts.items()}
        size = nbytes(shapes_of(parts))
        for n in self.neighbours if to is None else to:
            self._post(n, copies, size, name)
        senders = set(self._transport.senders(self.id) if frm is None else frm)
        began, found = self.now, {m.frm: m for m in reversed(self._inbox) if m.tag == name and m.frm in senders}
        missing, lost = senders - set(found), set[int]()

        def last(m: Message) -> bool:
            if m.tag == name and m.frm in missing:
                missing.remove(m.frm)
                found[m.frm] = m
                return not missing
            return False

        while True:
            lost |= missing & self.gone
            missing -= lost
            if lost and instead is None:
                raise ProgramError(
                    f"peer {self.id} waits in an exchange for node {min(lost)}, which is lost: a program that goes on "
                    "without says what stands for its message, exchange(..., instead=)"
                )
            if not missing:
                break
            await self._until(last, None)
        self._take(list(found.values()), began)
        near = {n: m.parts for n, m in found.items()} | {self.id: copies}
        got: dict[int, Tensors] = {n: Named(sent, f"what node {n} sent") for n, sent in near.items()}
        if instead is not None:  # the very object: a program may ask which it is
            got |= dict.fromkeys(lost, instead)
        return dict(sorted(got.items()))

    def _require_a_sender(self, tag: str, frm: int | None) -> None:
        """Errors: ``ProgramError`` if all who could send a message that is waited for are lost."""
        able = {*self.neighbours, *self._transport.senders(self.id)} if frm is None else {frm}
        if able and able <= self.gone:
            raise ProgramError(
                f"peer {self.id} waits for a message {tag!r}, and whoever could send it is lost: "
                f"{', '.join(map(str, sorted(able)))}. A program that goes on without does not wait for peer.gone"
            )

    async def _until(self, wanted: Callable[[Message], bool], deadline: float | None) -> None:
        """Wait until a message that is wanted arrives, a node is lost, or for the deadline."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (wanted, woken)
        self._waiting.append(waiter)
        alarm = None
        if deadline is not None:
            # Last among the events of its instant: a message that arrives with the deadline is in time.
            alarm = self._s.clock.schedule(deadline, AFTER_ALL, lambda: settle(woken))
        try:
            await woken
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            if alarm is not None:
                alarm.cancel()

    def _blocked(self, began: float) -> float:
        """Seconds since then in which this peer had nothing to compute."""
        return self.now - min(self.now, max(began, self._busy_until))

    def _take(self, messages: list[Message], began: float) -> None:
        """Messages leave the inbox. The time since ``began`` was that of the last on the wire, the rest was waiting."""
        if not messages:
            return
        blocked, last = self._blocked(began), max(messages, key=lambda m: m.arrival)
        wire = min(blocked, last.arrival - last.sent)
        size = sum(nbytes(shapes_of(m.parts)) for m in messages)
        self.books.costs.add(Costs(bytes_down=size, messages_down=len(messages), wire_s=wire, waiting_s=blocked - wire))
        self.books.taken += [(m.frm, m.seq) for m in messages]
        if self._s.policy.speaks:
            self.books.heard.update((m.frm, m.parts) for m in sorted(messages, key=lambda m: m.seq))
        gone = set(map(id, messages))
        self._inbox = [m for m in self._inbox if id(m) not in gone]

    @awaited
    async def commit(
        self,
        state: State,
        *,
        weight: float = 1.0,
        metrics: Mapping[str, float] | None = None,
        suspects: Suspicions | None = None,
    ) -> None:
        """End of a step of this peer.

        ``weight``   how much ``state.w`` counts in the run's model, the mean over peers; 0 for a peer that is away.
        ``metrics``  of this peer's step; the record holds their means over the peers that gave them.
        ``suspects``  what this peer's rule says of those it has heard, by id, likewise.
        """
        self.calls.check()
        check_state(state, "peer.commit")
        self.books.round += 1
        self.books.time = self.now
        self.books.state, self.books.weight, self.books.metrics = state, float(weight), dict(metrics or {})
        self.books.suspects = {n: (float(x.left_out), float(x.distance)) for n, x in (suspects or {}).items()}
        self.books.inbox = [(m.frm, m.seq) for m in self._inbox]
        self._transport.committed(self)

    def receive(self, m: Message) -> None:
        """A message has arrived: the transport's to call."""
        self._inbox.append(m)
        for wanted, woken in list(self._waiting):
            if wanted(m):
                settle(woken)

    def lost(self) -> None:
        """Somebody is gone: the transport's to call. Whoever waits looks again for whom."""
        for _, woken in self._waiting:
            settle(woken)
