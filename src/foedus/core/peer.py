"""Peer: what a decentralised program sees. One of these runs at every node, and talks only to its neighbours.

Every peer commits on its own and may be ahead of others. The run's commit t is the cut at which every peer has made its
commit t; the checkpoint holds every peer as it was then, and the messages that were under way across the cut. After a
resume peers repeat what they did after the cut, and a message that had already been consumed is dropped by its number.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from foedus.core.clock import settle
from foedus.core.data import TEST
from foedus.core.errors import BadInput, ProgramError
from foedus.core.evaluation import SMALLER_IS_BETTER, EvaluateEach
from foedus.core.execute import Plan, Task
from foedus.core.job import Job
from foedus.core.keys import Key
from foedus.core.ledger import Costs
from foedus.core.model import Layout
from foedus.core.session import Session, diverged, node_failed
from foedus.core.state import State
from foedus.core.transform import nbytes, shapes_of
from foedus.core.update import Tensors, Update

log = logging.getLogger("foedus")


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
    weight: float = 1.0
    metrics: dict[str, float] = field(default_factory=dict)
    loss: float | None = None

    def copy(self) -> _Books:
        return _Books(**{**vars(self), "sent": dict(self.sent), "taken": list(self.taken), "costs": self.costs.copy()})

    def as_tree(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {**vars(self), "costs": dict(vars(self.costs))}

    @staticmethod
    def from_tree(tree: dict[str, Any]) -> _Books:
        """The books that ``as_tree`` wrote down, of their own memory."""
        taken = [(frm, seq) for frm, seq in tree["taken"]]
        return _Books(**{**tree, "costs": Costs(**tree["costs"]), "taken": taken}).copy()


class Peer:
    """One node of a decentralised program.

    ``id``, ``neighbours`` (ids this node sends to, ascending), ``nodes``, ``layout``, ``now``.
    """

    def __init__(self, hub: Hub, id: int) -> None:
        self._hub, self._s, self.id = hub, hub.session, id
        self.neighbours = hub.edges[id]
        self._b = _Books()
        self._inbox: list[Message] = []
        self._busy_until = 0.0
        self._waiting: list[tuple[Callable[[Message], bool], asyncio.Future[None]]] = []

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

    def key(self, *names: str | int) -> Key:
        """The key of a draw of this peer's; the names (a purpose and a round, say) tell it from all its others."""
        return self._s.key.child("peer", self.id, *names)

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
            self._busy_until = self.now + seconds
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
        self._post(to, {k: v.clone() for k, v in parts.items()}, nbytes(shapes_of(parts)), tag)

    def _post(self, to: int, parts: Tensors, size: int, tag: str) -> None:
        if to == self.id or not 0 <= to < self.nodes:
            raise ProgramError(f"peer {self.id} cannot send to {to}: ids are 0..{self.nodes - 1}, and not its own")
        b, wires = self._b, self._s.wires
        mine, theirs = wires.link(self.id), wires.link(to)
        leaves = max(self.now, b.uplink_free)
        b.uplink_free = leaves + size / min(mine.up, theirs.down)
        seq = b.sent.get(to, 0)
        b.sent[to] = seq + 1
        arrival = b.uplink_free + mine.latency + theirs.latency
        b.costs.charge(bytes_up=size, messages_up=1)
        self._hub.deliver(Message(self.id, to, tag, seq, parts, self.now, arrival))

    async def recv(self, tag: str = "", frm: int | None = None, timeout: float | None = None) -> Message | None:
        """The first message with this tag (from this node), in order of arrival; None when ``timeout`` seconds pass."""
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
                self._b.costs.charge(waiting_s=self._blocked(began))
                return None
            await self._until(wanted, deadline)

    async def exchange(
        self,
        parts: Tensors,
        *,
        to: Sequence[int] | None = None,
        frm: Sequence[int] | None = None,
        tag: str | int | None = None,
    ) -> Mapping[int, Tensors]:
        """Send to every neighbour and wait for what each sends; by node id in ascending order, self included.

        ``to``, ``frm``  whom to send to and wait for, where that is not all neighbours.
        ``tag``          tells this exchange from others (a round); by default peers count their exchanges.
        What comes back is shared with those who got the same: it is not to be changed in place.
        """
        if tag is None:
            tag = self._b.exchanges
            self._b.exchanges += 1
        name = f"exchange {tag}"
        copies = {k: v.clone() for k, v in parts.items()}
        size = nbytes(shapes_of(parts))
        for n in self.neighbours if to is None else to:
            self._post(n, copies, size, name)
        senders = set(self._hub.senders(self.id) if frm is None else frm)
        began, found = self.now, {m.frm: m for m in reversed(self._inbox) if m.tag == name and m.frm in senders}
        missing = senders - set(found)

        def last(m: Message) -> bool:
            if m.tag == name and m.frm in missing:
                missing.remove(m.frm)
                found[m.frm] = m
                return not missing
            return False

        if missing:
            await self._until(last, None)
        self._take(list(found.values()), began)
        near = {n: m.parts for n, m in found.items()} | {self.id: copies}
        return dict(sorted(near.items()))

    async def _until(self, wanted: Callable[[Message], bool], deadline: float | None) -> None:
        """Wait until a message that is wanted arrives, or for the deadline."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (wanted, woken)
        self._waiting.append(waiter)
        alarm = None
        if deadline is not None:
            # Last among the events of its instant: a message that arrives with the deadline is in time.
            alarm = self._s.clock.schedule(deadline, 2**62, lambda: settle(woken))
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
        self._b.costs.charge(bytes_down=size, messages_down=len(messages), wire_s=wire, waiting_s=blocked - wire)
        self._b.taken += [(m.frm, m.seq) for m in messages]
        gone = set(map(id, messages))
        self._inbox = [m for m in self._inbox if id(m) not in gone]

    async def commit(self, state: State, *, weight: float = 1.0, metrics: Mapping[str, float] | None = None) -> None:
        """End of a step of this peer.

        ``weight``   how much ``state.w`` counts in the run's model, the mean over peers; 0 for a peer that is away.
        ``metrics``  of this peer's step; the record holds their means over the peers that gave them.
        """
        self._b.round += 1
        self._b.time = self.now
        self._b.state, self._b.weight, self._b.metrics = state, float(weight), dict(metrics or {})
        self._hub.committed(self)

    def _receive(self, m: Message) -> None:
        self._inbox.append(m)
        for wanted, woken in list(self._waiting):
            if wanted(m):
                settle(woken)


class _Enough(Exception):
    """A stop rule ended the run."""


class Hub:
    """All peers of a run, and the messages between them."""

    def __init__(self, program: Any, session: Session) -> None:
        self.session = session
        self.nodes = session.data.nodes
        self.edges = edges_of(getattr(program, "topology", None) or _Everybody(), self.nodes)
        self._senders: list[list[int]] = [[] for _ in self.edges]
        for node, row in enumerate(self.edges):
            for n in row:
                self._senders[n].append(node)
        self.peers = [Peer(self, n) for n in range(self.nodes)]
        self._under_way: list[Message] = []
        self._cuts: dict[int, dict[int, _Books]] = {}
        self._dropped: set[tuple[int, int, int]] = set()
        saved = session.extra.get("peers")
        if saved:
            self._restore(saved)

    def senders(self, node: int) -> Sequence[int]:
        """Ids that send to a node, ascending."""
        return self._senders[node]

    def deliver(self, m: Message) -> None:
        """Put a message on its way, unless its receiver had consumed it before the run was stopped."""
        if (m.frm, m.to, m.seq) in self._dropped:
            return
        self._under_way.append(m)
        # What arrives at one instant comes by receiver, then by sender: an order that a resumed run finds again.
        rank = m.to + (m.frm + 1) / (self.nodes + 1)
        self.session.clock.schedule(m.arrival, rank, lambda: self.peers[m.to]._receive(m))

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
        done = consumed - orphans
        self._under_way = [m for m in self._under_way if (m.frm, m.to, m.seq) not in done]
        gone: list[set[tuple[int, int]]] = [set() for _ in cut]
        for frm, to, seq in done:
            gone[to].add((frm, seq))
        for to, settled in enumerate(gone):
            for books in [self.peers[to]._b, *(c[to] for c in self._cuts.values() if to in c)]:
                books.taken = [x for x in books.taken if x not in settled]
        total = Costs()
        for n, b in enumerate(cut):
            total.add(b.costs)
            if s.ledger.per_node:
                s.ledger.nodes[n] = b.costs.copy()
        s.ledger.total = total
        present = [b for b in cut if b.weight > 0]
        if not present:
            raise ProgramError(f"at commit {s.round + 1} every peer's weight is 0: nobody is there to have a model")
        models = [b.state.w for b in present]  # type: ignore[union-attr]
        mean = _mean(models, [b.weight for b in present])
        distance = sum(float((w - mean).double().square().sum()) for w in models) / len(present)
        losses = [b.loss for b in present if b.loss is not None]
        s.note(len(present), len(losses), sum(losses) / len(losses) if losses else None)
        extra = {"consensus_distance": distance, **self._qualities(models), **_means([b.metrics for b in cut])}
        s.extra["peers"] = {
            "books": [b.as_tree() for b in cut],
            "messages": [vars(m) | {"parts": dict(m.parts)} for m in crossing],
            "dropped": sorted(orphans),
        }
        # Those that are away have no model of this round.
        each = [{"w": w} for w in models] if len(models) == self.nodes else None
        s.commit(State(w=mean), extra=extra, now=max(b.time for b in cut), at_nodes=each)
        if s.stopped:
            raise _Enough

    def _qualities(self, models: list[Tensor]) -> dict[str, float]:
        """Mean and worst of the peers' own models by the main metric, at commits that are evaluated."""
        s, t = self.session, self.session.round + 1
        if t % s.options.evaluate_every and t != s.planned:
            return {}
        started = time.perf_counter()
        job = EvaluateEach(next((m for m in ("accuracy", "auc", "rmse") if m in s.model.metrics), "loss"))
        placed = s.executor.place({"w": torch.stack(models)})
        try:
            tickets = [
                s.executor.submit(
                    Plan(job.part(i, s.executor.workers, len(models)), inspect=False), placed, [[Task(TEST, 0, {})]]
                )
                for i in range(min(s.executor.workers, len(models)))
            ]
            qualities = []
            for ticket in tickets:
                outcome = s.executor.wait(ticket).outcomes[0]
                if outcome.update is None:
                    raise BadInput(f"the peers' models could not be evaluated: {outcome.failed}")
                qualities += outcome.update["quality"].tolist()
        finally:
            s.executor.release(placed)
            s._outside += time.perf_counter() - started
        worst = max if job.metric in SMALLER_IS_BETTER else min
        return {
            f"single_mean_{job.metric}": sum(qualities) / len(qualities),
            f"single_worst_{job.metric}": worst(qualities),
        }

    def _restore(self, saved: dict[str, Any]) -> None:
        for peer, b in zip(self.peers, saved["books"], strict=True):
            peer._b = _Books.from_tree(b)
        self._dropped = {tuple(x) for x in saved["dropped"]}
        self.session.clock.restart(min(p._b.time for p in self.peers))
        for m in saved["messages"]:
            self.deliver(Message(**m))


def _mean(models: list[Tensor], weights: list[float]) -> Tensor:
    """The weighted mean of model vectors, summed in float64 and rounded once."""
    acc = torch.zeros(models[0].shape, dtype=torch.float64)
    for w, weight in zip(models, weights, strict=True):
        acc.add_(w, alpha=weight)
    return acc.div_(sum(weights)).to(models[0].dtype)


def _means(metrics: list[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for m in metrics for name in m})
    given = {name: [m[name] for m in metrics if name in m] for name in names}
    return {name: sum(values) / len(values) for name, values in given.items()}


async def run_peers(program: Any, session: Session) -> Tensor:
    """Run a decentralised program at every node; the mean of the nodes' models at the last common commit.

    A program may have ``prepare(nodes) -> str``: it is called once before the peers start, raises ``BadInput`` where
    the program does not fit so many nodes, and says in one line, which is logged, what graph they talk over.
    """
    if hasattr(program, "prepare"):
        log.info("%s", program.prepare(session.data.nodes))
    hub = Hub(program, session)

    async def one(peer: Peer) -> None:
        await session.until(peer._b.time, peer.id)
        await program(peer)

    with contextlib.suppress(_Enough):
        await asyncio.gather(*(one(p) for p in hub.peers))
    if session.state is None:
        raise ProgramError("the program ended without peer.commit(state): nothing of it would be kept")
    return session.state.w  # type: ignore[no-any-return]
