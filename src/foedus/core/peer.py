"""Peer: what a decentralised program sees. One of these runs at every node, and talks only to its neighbours.

Every peer commits on its own and may be ahead of others. The run's commit t is the cut at which every peer has made its
commit t; the checkpoint holds every peer as it was then, and the messages that were under way across the cut. After a
resume peers repeat what they did after the cut, and a message that had already been consumed is dropped by its number.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from foedus.core.clock import settle
from foedus.core.errors import BadInput, ProgramError
from foedus.core.execute import Plan, Task
from foedus.core.job import Job
from foedus.core.ledger import Costs
from foedus.core.model import Layout
from foedus.core.session import Session, diverged, node_failed
from foedus.core.state import State
from foedus.core.transform import nbytes, shapes_of
from foedus.core.update import Tensors, Update


class Topology(Protocol):
    """Who talks to whom."""

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        """Ids that ``node`` sends to, itself not among them."""
        ...


@dataclass(frozen=True)
class Complete:
    """Everybody talks to everybody."""

    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        return tuple(n for n in range(nodes) if n != node)


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


@dataclass
class _Books:
    """What a peer's commit makes durable besides its state."""

    round: int = 0
    time: float = 0.0
    exchanges: int = 0
    uplink_free: float = 0.0
    sent: dict[int, int] = field(default_factory=dict)
    taken: list[tuple[int, int]] = field(default_factory=list)
    """``(frm, seq)`` of the messages consumed since the last cut."""
    count: int = 0
    node_state: dict[str, Any] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)
    state: State | None = None
    loss: float | None = None

    def copy(self) -> _Books:
        return _Books(**{**vars(self), "sent": dict(self.sent), "taken": list(self.taken), "costs": self.costs.copy()})


class Peer:
    """One node of a decentralised program.

    ``id``, ``neighbours`` (ids this node sends to, ascending), ``nodes``, ``layout``, ``now``.
    """

    def __init__(self, hub: Hub, id: int) -> None:
        self._hub, self._s, self.id = hub, hub.session, id
        self.neighbours = tuple(sorted(hub.topology.neighbours(id, hub.nodes)))
        self._b = _Books()
        self._inbox: list[Message] = []
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return self._hub.nodes

    @property
    def layout(self) -> Layout:
        """What the flat vector holds."""
        return self._s.model.layout

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self._s.clock.now

    async def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""
        await self._s.until(self.now + seconds, self.id)

    async def begin(self, init: Callable[..., State]) -> State:
        """The first state: ``init(w)`` of the model's initial vector (``State`` itself makes ``State(w=w)``), or the
        one a stopped run left off with.
        """
        if self._b.state is None:
            w = self._s.model.initial.clone()
            self._b.state = State(w=w) if init is State else init(w)
        return self._b.state

    def rounds(self, n: int) -> Iterator[int]:
        """Round numbers from where this peer stands to n-1. Commit in every round."""
        if n < 1:
            raise BadInput(f"a run needs at least one round, got {n}")
        self._s.planned = n
        while self._b.round < n:
            before = self._b.round
            yield before
            if self._b.round == before:
                raise ProgramError(f"round {before} ended without peer.commit(state): nothing of it would be kept")

    async def run(self, job: Job, args: Tensors) -> Update:
        """Compute a job on this node's own rows."""
        s, b = self._s, self._b
        count, b.count = b.count, b.count + 1
        placed = s.executor.place(dict(args))
        try:
            ticket = s.executor.submit(Plan(job), placed, [[Task(self.id, count, b.node_state)]])
            work = job.work(s.data.size(self.id))
            seconds = s.wires.compute_seconds(self.id, work, count)
            await self._s.until(self.now + seconds, self.id)
            outcome = s.executor.wait(ticket).outcomes[0]
        finally:
            s.executor.release(placed)
        measured = seconds if s.clock.virtual else outcome.seconds
        b.costs.add(Costs(compute_s=measured, samples=work.trained, jobs=1))
        if outcome.failed is not None:
            raise diverged(s, outcome.failed) if outcome.failed.nonfinite else node_failed(s, outcome.failed)
        b.node_state = {**b.node_state, **outcome.state}
        b.loss = outcome.metrics.get("loss")
        assert outcome.update is not None
        return outcome.update

    async def send(self, to: int, parts: Tensors, tag: str = "") -> None:
        """Send tensors to a node. Messages leave one after the other over this node's own uplink."""
        if to == self.id or not 0 <= to < self.nodes:
            raise ProgramError(f"peer {self.id} cannot send to {to}: ids are 0..{self.nodes - 1}, and not its own")
        b, wires = self._b, self._s.wires
        mine, theirs = wires.link(self.id), wires.link(to)
        size = nbytes(shapes_of(parts))
        leaves = max(self.now, b.uplink_free)
        b.uplink_free = leaves + size / min(mine.up, theirs.down)
        seq = b.sent.get(to, 0)
        b.sent[to] = seq + 1
        copies = {k: v.clone() for k, v in parts.items()}
        arrival = b.uplink_free + mine.latency + theirs.latency
        b.costs.add(Costs(bytes_up=size, messages_up=1))
        self._hub.deliver(Message(self.id, to, tag, seq, copies, self.now, arrival))

    async def recv(self, tag: str = "", frm: int | None = None, timeout: float | None = None) -> Message | None:
        """The first message with this tag (from this node), in order of arrival; None when ``timeout`` seconds pass."""
        began = self.now
        deadline = None if timeout is None else began + timeout
        while True:
            for m in self._inbox:
                if m.tag == tag and frm in (None, m.frm):
                    self._inbox.remove(m)
                    self._b.taken.append((m.frm, m.seq))
                    blocked = self.now - began
                    wire = min(blocked, m.arrival - m.sent)
                    size = nbytes(shapes_of(m.parts))
                    self._b.costs.add(Costs(bytes_down=size, messages_down=1, wire_s=wire, waiting_s=blocked - wire))
                    return m
            if deadline is not None and self.now >= deadline:
                self._b.costs.add(Costs(waiting_s=self.now - began))
                return None
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(woken)
            alarm = None
            if deadline is not None:
                alarm = self._s.clock.schedule(deadline, 2**62, self._awake)
            await woken
            if alarm is not None:
                alarm.cancel()

    async def exchange(self, parts: Tensors) -> Mapping[int, Tensors]:
        """Send to every neighbour and wait for what each sends; by node id in ascending order, self included."""
        tag = f"exchange {self._b.exchanges}"
        self._b.exchanges += 1
        for n in self.neighbours:
            await self.send(n, parts, tag)
        near: dict[int, Tensors] = {self.id: dict(parts)}
        for n in self._hub.senders(self.id):
            message = await self.recv(tag, n)
            assert message is not None
            near[n] = message.parts
        return dict(sorted(near.items()))

    async def commit(self, state: State) -> None:
        """End of a step of this peer."""
        self._b.round += 1
        self._b.time = self.now
        self._b.state = state
        self._hub.committed(self)

    def _awake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for woken in waiting:
            settle(woken)

    def _receive(self, m: Message) -> None:
        self._inbox.append(m)
        self._awake()


class _Enough(Exception):
    """A stop rule ended the run."""


class Hub:
    """All peers of a run, and the messages between them."""

    def __init__(self, program: Any, session: Session) -> None:
        self.session = session
        self.nodes = session.data.nodes
        self.topology: Topology = getattr(program, "topology", None) or Complete()
        self.peers = [Peer(self, n) for n in range(self.nodes)]
        self._senders: dict[int, tuple[int, ...]] = {}
        self._under_way: list[Message] = []
        self._cuts: dict[int, dict[int, _Books]] = {}
        self._dropped: set[tuple[int, int, int]] = set()
        saved = session.extra.get("peers")
        if saved:
            self._restore(saved)

    def senders(self, node: int) -> tuple[int, ...]:
        """Ids that send to a node."""
        if node not in self._senders:
            self._senders[node] = tuple(p.id for p in self.peers if node in p.neighbours)
        return self._senders[node]

    def deliver(self, m: Message) -> None:
        """Put a message on its way, unless its receiver had consumed it before the run was stopped."""
        if (m.frm, m.to, m.seq) in self._dropped:
            return
        self._under_way.append(m)
        self.session.clock.schedule(m.arrival, m.to, lambda: self.peers[m.to]._receive(m))

    def committed(self, peer: Peer) -> None:
        """A peer made its commit; if it was the last to make this one, the run commits."""
        t = peer._b.round
        cut = self._cuts.setdefault(t, {})
        cut[peer.id] = peer._b.copy()
        if len(cut) < self.nodes:
            return
        del self._cuts[t]
        self._commit([cut[n] for n in range(self.nodes)])

    def _commit(self, cut: list[_Books]) -> None:
        s = self.session
        consumed = {(frm, to, seq) for to, b in enumerate(cut) for frm, seq in b.taken}
        # A message sent after its sender's cut will be sent again; one consumed before is remembered until it is.
        crossing = [
            m for m in self._under_way if m.seq < cut[m.frm].sent.get(m.to, 0) and (m.frm, m.to, m.seq) not in consumed
        ]
        orphans = {k for k in consumed | self._dropped if k[2] >= cut[k[0]].sent.get(k[1], 0)}
        self._under_way = [m for m in self._under_way if (m.frm, m.to, m.seq) not in consumed - orphans]
        for to, b in enumerate(cut):
            kept = {(frm, seq) for frm, t, seq in orphans if t == to}
            gone = set(b.taken) - kept
            for books in [self.peers[to]._b, *(c[to] for c in self._cuts.values() if to in c)]:
                books.taken = [x for x in books.taken if x not in gone]
        total = Costs()
        for n, b in enumerate(cut):
            total.add(b.costs)
            if s.ledger.per_node:
                s.ledger.nodes[n] = b.costs.copy()
        s.ledger.total = total
        stacked = torch.stack([b.state.w for b in cut])  # type: ignore[union-attr]
        mean = stacked.mean(0)
        distance = float((stacked - mean).double().square().sum()) / self.nodes
        losses = [b.loss for b in cut if b.loss is not None]
        s.note(self.nodes, len(losses), sum(losses) / len(losses) if losses else None)
        s.extra["peers"] = {
            "books": [{**vars(b), "costs": asdict(b.costs)} for b in cut],
            "messages": [vars(m) | {"parts": dict(m.parts)} for m in crossing],
            "dropped": sorted(orphans),
        }
        s.commit(State(w=mean), extra={"consensus_distance": distance}, now=max(b.time for b in cut))
        if s.stopped:
            raise _Enough

    def _restore(self, saved: dict[str, Any]) -> None:
        for peer, b in zip(self.peers, saved["books"], strict=True):
            peer._b = _Books(**{**b, "costs": Costs(**b["costs"]), "taken": [tuple(x) for x in b["taken"]]}).copy()
        self._dropped = {tuple(x) for x in saved["dropped"]}
        self.session.clock.restart(min(p._b.time for p in self.peers))
        for m in saved["messages"]:
            self.deliver(Message(**m))


async def run_peers(program: Any, session: Session) -> Tensor:
    """Run a decentralised program at every node; the mean of the nodes' models at the last common commit."""
    hub = Hub(program, session)

    async def one(peer: Peer) -> None:
        await session.until(peer._b.time, peer.id)
        await program(peer)

    with contextlib.suppress(_Enough):
        await asyncio.gather(*(one(p) for p in hub.peers))
    if session.state is None:
        raise ProgramError("the program ended without peer.commit(state): nothing of it would be kept")
    return session.state.w  # type: ignore[no-any-return]
