"""Federation: what a server-side program sees. Give node n job j, get an answer back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from torch import Tensor

from foedus.core import real
from foedus.core.aggregator import Aggregator, MergeTree, blocks, groups
from foedus.core.call import Call
from foedus.core.clock import settle
from foedus.core.crowd import Cohort, Crowd, Selection, TooFew
from foedus.core.delivery import NEVER_ON, Delivery
from foedus.core.errors import BadInput, Deadlock, Diverged, NobodyInTime, ProgramError
from foedus.core.execute import (
    Blocks,
    InOrder,
    Outcome,
    Plan,
    Task,
    answer_shapes,
    finite,
    message_bytes,
)
from foedus.core.job import Job
from foedus.core.keys import Key
from foedus.core.model import Layout
from foedus.core.session import Session, diverged, node_failed
from foedus.core.state import State
from foedus.core.stream import Stream
from foedus.core.transform import Transform, nbytes, prepare, shapes_of
from foedus.core.until import All, Until
from foedus.core.update import Answer, Failed, Refused, Tensors

LATE = "late"

WAITS = 10_000
"""So often a cohort waits for nodes to come on before it is given up: some will never be on at once."""

PATIENCE = 3
"""So many rounds in a row may end at their deadline without an answer; a run that would go on like this is ended."""


@dataclass(frozen=True)
class Reduced(Mapping[str, Tensor]):
    """One answer from many: the aggregate's parts by name, and who took part.

    Empty, and so false, if nobody's answer was used. ``missing`` says why, by node; ``metrics`` are means by weight.
    """

    parts: Tensors
    arrived: tuple[int, ...]
    missing: Mapping[int, str]
    metrics: Mapping[str, float]
    weight: float = 0.0

    def __getitem__(self, part: str) -> Tensor:
        return self.parts[part]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


class Federation:
    """What a server-side program sees of nodes, time and books.

    ``nodes``: how many there are. ``sizes``: rows of each. ``layout``: what the flat vector holds. ``now``: seconds.
    """

    def __init__(self, session: Session) -> None:
        self._s = session
        self._open = 0

    # -- what there is -----------------------------------------------------------------------------------------

    @property
    def nodes(self) -> int:
        """How many nodes there are; their ids are 0 .. nodes-1."""
        return self._s.roster.nodes

    @property
    def sizes(self) -> list[int]:
        """Rows of every node."""
        return self._s.roster.sizes

    @property
    def layout(self) -> Layout:
        """What the flat vector holds."""
        return self._s.model.layout

    @property
    def initial(self) -> Tensor:
        """The model's initial vector (D,): where a node that joins may begin."""
        return self._s.model.initial.clone()

    @property
    def now(self) -> float:
        """Seconds since the run began, by the runtime's clock."""
        return self._s.clock.now

    async def sleep(self, seconds: float) -> None:
        """Let that many seconds pass on the runtime's clock."""
        await self._s.until(self.now + seconds, -1)

    # -- state and rounds --------------------------------------------------------------------------------------

    async def begin(self, init: Callable[[Tensor], State]) -> State:
        """The first state, ``init(w)`` of the model's initial vector (D,), or the one a stopped run left off with."""
        if self._s.state is None:
            state = init(self._s.model.initial.clone())
            if not isinstance(state, State):
                raise ProgramError(f"begin needs a function that returns a State, got a {type(state).__name__}")
            self._s.state = state
        return self._s.state

    def rounds(self, n: int) -> Iterator[int]:
        """Round numbers from where the run stands to n-1, or until a stop rule says so. Commit in every round."""
        if n < 1:
            raise BadInput(f"a run needs at least one round, got {n}")
        self._s.planned = n
        while self._s.round < n and not self._s.stopped:
            before = self._s.round
            yield before
            if self._s.round == before:
                raise ProgramError(f"round {before} ended without fed.commit(state): nothing of it would be kept")

    def available(self) -> Sequence[int]:
        """Ids of the nodes that are on now, ascending."""
        presence, places = self._s.wires.presence, self._s.places
        if places is not None and places.gone:
            return [n for n in range(self.nodes) if n not in places.gone]
        return range(self.nodes) if presence is None else presence.on()

    async def sample(self, how: Cohort) -> tuple[int, ...]:
        """Node ids of a cohort, ascending.

        A cohort that draws from those that are on waits until there are enough. Errors: ``BadInput`` if it is larger
        than the federation, ``Deadlock`` if there never will be enough.
        """
        key: Key = self._s.next_draw("sample")
        everybody = Crowd(range(self.nodes), lambda: self.sizes, self.available)
        began, most, presence = self.now, 0, self._s.wires.presence
        for _ in range(WAITS):
            try:
                return everybody.pick(how, key)
            except TooFew as e:
                needed = e.needed
                if presence is None or needed > self.nodes:
                    raise
            there = len(presence.on())
            most = max(most, there)
            when = presence.more(max(1, needed - there))
            if when == math.inf:
                break
            await self._s.until(when, -1)
        never = ", and too few ever come on again" if when == math.inf else ""
        raise Deadlock(
            f"{how!r} waits for {needed} nodes to be on at once: in {self.now - began:.3g} s never more than {most} of "
            f"{self.nodes} were{never}; ask for fewer, or raise the network's availability"
        )

    async def commit(
        self,
        state: State,
        metrics: dict[str, float] | None = None,
        *,
        extra: dict[str, float] | None = None,
        at_nodes: Tensors | Sequence[Tensors] | None = None,
    ) -> None:
        """End of a step: checkpoint, record, evaluate ``state.w`` if that is due, ask the stop rules.

        ``metrics`` replaces the evaluation of ``state.w``: a program whose model is not one vector knows better.
        ``extra`` metrics stand beside it. ``at_nodes`` is for programs whose nodes have models of their own: the
        arguments of the program's ``node_evaluation``. If all nodes share them, the commit's evaluation is that of all
        nodes, its loss and metrics being means over all the rows that nodes evaluate on. One a node are used only
        where nodes are evaluated anyway.
        """
        if self._open:
            raise ProgramError(f"commit was called while {self._open} map call(s) were under way: await them first")
        self._s.commit(state, metrics, extra, at_nodes=at_nodes)

    async def evaluate(self, w_D: Tensor) -> dict[str, float]:
        """Loss and metrics of a model vector on the test set."""
        return self._s.evaluate(w_D)

    def draw(self, purpose: str) -> Key:
        """The key of the next random draw that the program itself makes; each purpose has draws of its own."""
        return self._s.next_draw(f"program {purpose}")

    # -- giving jobs -------------------------------------------------------------------------------------------

    async def map(
        self,
        job: Job,
        args: Tensors,
        nodes: Sequence[int],
        *,
        transforms: Sequence[Transform] = (),
        until: Until = All(),
    ) -> list[Answer]:
        """Give every node the job with the same arguments; their answers in the order of ``nodes``.

        A node that failed, went off or was late is a ``Failed`` or ``Refused`` in its place. Of an over-selected
        cohort the first answers end the call, see ``Selection``.
        """
        plan = Plan(job, prepare(transforms, self.layout), None)
        call, outcomes, _ = await self._perform(plan, args, nodes, until)
        self._note(outcomes)
        answers: list[Answer] = []
        for position, node in enumerate(call.nodes):
            outcome = outcomes.get(position)
            if outcome is not None and outcome.update is not None:
                answers.append(outcome.update)
            else:
                answers.append(call.reason(position) or Refused(node, LATE))
        self._settle_books(call, outcomes)
        return answers

    async def map_reduce(
        self,
        job: Job,
        args: Tensors,
        nodes: Sequence[int],
        aggregator: Aggregator,
        *,
        transforms: Sequence[Transform] = (),
        until: Until = All(),
    ) -> Reduced:
        """Give every node the job with the same arguments, and join their answers into one.

        What the aggregator and the transforms remember from call to call is kept by job, aggregator and transforms,
        and is part of the checkpoint.
        """
        plan = Plan(job, prepare(transforms, self.layout), aggregator, inspect=aggregator.robust)
        call, outcomes, acc = await self._perform(plan, args, nodes, until)
        parts: Tensors = {}
        if acc is not None:
            parts = self._finish(plan, acc)
            if not plan.inspect and not finite(parts):
                raise self._culprit(call, set(outcomes), args)
        good = [(p, o) for p, o in outcomes.items() if o.failed is None]
        metrics = self._note(outcomes)
        missing = {
            node: failed.reason if (failed := call.reason(p)) is not None else LATE
            for p, node in enumerate(call.nodes)
            if p in call.failed or p not in outcomes
        }
        self._settle_books(call, outcomes)
        return Reduced(
            MappingProxyType(dict(parts)),
            tuple(call.nodes[p] for p, _ in good),
            MappingProxyType(missing),
            MappingProxyType(metrics),
            sum(o.weight for _, o in good),
        )

    def stream(
        self, job: Job, *, transforms: Sequence[Transform] = (), commits: int | None = None, failure: str = "abort"
    ) -> Stream:
        """Asynchronous work: ``async with fed.stream(job) as updates``. See ``Stream``."""
        if self._s.together is not None:
            raise BadInput(
                "asynchronous work needs somebody to whom updates come as they are ready, and here all nodes join "
                'theirs: use exchange="server"'
            )
        return Stream(self._s, Plan(job, prepare(transforms, self.layout), None), commits, failure)

    # -- how a call goes ---------------------------------------------------------------------------------------

    async def _perform(
        self, plan: Plan, args: Tensors, asked: Sequence[int], until: Until
    ) -> tuple[Call, dict[int, Outcome], Any]:
        """The call with who arrived when, the outcomes by position, and the merged accumulator (None: no answers)."""
        s, nodes = self._s, tuple(asked)
        _check_nodes(nodes, self.nodes)
        for node in nodes:
            if node < 0:
                s.roster.size(node)  # it says so where those rows are in no one place
        needed = until.needed(len(nodes))
        if isinstance(asked, Selection):
            needed = min(needed, asked.first)
        args_bytes, up = message_bytes(plan, nbytes(shapes_of(args)), s.model)
        counts = [s.next_count(n) for n in nodes]
        call = Call(plan, s.executor.place(args), nodes, counts, args_bytes, up, self.now)
        self._open += 1
        running: InOrder | None = None  # Ctrl-C can come before the first group was sent
        try:
            if self._real_wires:
                outcomes, acc = await self._really(call, needed, until)
                return call, outcomes, acc
            everyone = needed == len(nodes) and until.seconds is None and s.wires.reliable
            # If every answer will be used, workers start at once; else it is known first whose will be.
            running = InOrder(s.executor, plan, call.placed, self._tasks(call, None)) if everyone else None
            round_ = _Round(self._s, call, needed, until, self._charge)
            round_.send(range(len(nodes)))
            wanted = needed
            while True:
                await round_.until(wanted)
                if running is None:
                    running = InOrder(s.executor, plan, call.placed, self._tasks(call, set(call.arrivals)))
                outcomes, acc = _collect(call, running)
                running = None
                new = self._failures(call, outcomes, until)
                again = [p for p in new if until.failure == "retry" and p not in call.retried]
                if again:
                    for p in again:
                        call.retried[p] = new[p]
                        self._charge(call, p, None)
                        del call.arrivals[p]
                        call.counts[p] = s.next_count(nodes[p])
                    round_.send(again)
                    wanted = len(call.arrivals) + len(again)
                    continue
                call.failed.update(new)
                wanted = min(len(nodes), needed + len(call.failed))
                if not new or everyone or not call.out or round_.over:
                    self._check_deadline(call, until)
                    return call, outcomes, acc
        finally:
            if running is not None:
                running.cancel()
            for d in call.deliveries:
                if d is not None:  # Ctrl-C can come before the last was sent
                    d.cancel()
            self._open -= 1
            s.executor.release(call.placed)

    @property
    def _real_wires(self) -> bool:
        return self._s.places is not None or self._s.together is not None

    async def _really(self, call: Call, needed: int, until: Until) -> tuple[dict[int, Outcome], Any]:
        """The outcomes by position and the accumulator of a call on real wires."""

        def failures(outcomes: dict[int, Outcome]) -> dict[int, Failed]:
            return self._failures(call, outcomes, until)

        if self._s.together is not None:
            return await real.join(self._s, self._s.together, call, until, failures)
        assert self._s.places is not None
        outcomes, acc = await real.scatter(self._s, self._s.places, call, needed, until, failures)
        self._check_deadline(call, until)
        return outcomes, acc

    def _check_deadline(self, call: Call, until: Until) -> None:
        """Errors: ``NobodyInTime`` if for some rounds now no node was in time."""
        if until.seconds is None or not call.nodes:
            return
        extra = self._s.extra
        if call.arrivals:
            extra.pop("empty rounds", None)
            return
        extra["empty rounds"] = empty = extra.get("empty rounds", 0) + 1
        if empty < PATIENCE:
            return
        said = f"in {empty} rounds in a row nobody answered within {until!r}"
        if not call.deliveries:
            raise NobodyInTime(f"{said}: raise the deadline")
        fastest = min(d.least_s for d in call.deliveries if d is not None)
        if fastest > until.seconds:
            raise NobodyInTime(f"{said}: the fastest of the last cohort takes {fastest:.3g} s; raise the deadline")
        raise NobodyInTime(
            f"{said}: the fastest of the last cohort takes {fastest:.3g} s when it is on and the server's link is "
            f"free, but of {len(call.nodes)} nodes {len(call.lost)} went off or dropped out, and the others were off "
            "or still busy; raise the deadline, or ask nodes that are on, Available(cohort)"
        )

    def _tasks(self, call: Call, accepted: set[int] | None) -> Iterator[Blocks]:
        """Tasks by group and block, those of positions that were accepted."""
        spans = blocks(len(call.nodes))
        for group in groups(len(spans), self._s.executor.workers):
            yield [
                [
                    Task(call.nodes[p], call.counts[p], self._s.node_state(call.nodes[p]))
                    for p in spans[b]
                    if (accepted is None or p in accepted) and p not in call.failed
                ]
                for b in group
            ]

    def _failures(self, call: Call, outcomes: dict[int, Outcome], until: Until) -> dict[int, Failed]:
        """Failures by position. Errors: ``Diverged`` and ``NodeFailed``, where the program does not go on without."""
        new = {}
        for position, outcome in outcomes.items():
            if outcome.failed is None:
                continue
            new[position] = outcome.failed
            robust = call.plan.aggregator is not None and call.plan.aggregator.robust
            if outcome.failed.nonfinite and not robust:
                raise diverged(self._s, outcome.failed)
            if not outcome.failed.nonfinite and until.failure == "abort":
                raise node_failed(self._s, outcome.failed)
        return new

    def _note(self, outcomes: dict[int, Outcome]) -> dict[str, float]:
        """Tell the books who took part since the last commit; the means of this call's metrics."""
        good = [o for o in outcomes.values() if o.failed is None]
        metrics = _means(good)
        self._s.note(len(good), sum(o.weight for o in good), metrics.get("loss"))
        return metrics

    def _culprit(self, call: Call, used: set[int], args: Tensors) -> Diverged:
        """The error for an aggregate that is not finite. The jobs are repeated, to find the first node to blame."""
        s, plan = self._s, replace(call.plan, inspect=True)
        placed = s.executor.place(args)
        try:
            for _, result in InOrder(s.executor, plan, placed, self._tasks(call, used)).results():
                for outcome in result.outcomes:
                    if outcome.failed is not None:
                        return diverged(s, outcome.failed)
        finally:
            s.executor.release(placed)
        return Diverged(
            f"the sum of the updates overflowed in round {s.round + 1}: lower the learning rate or clip updates"
        )

    def _finish(self, plan: Plan, acc: Any) -> Tensors:
        shapes = answer_shapes(plan.job, self._s.model)
        aggregator, transforms = plan.aggregator, plan.transforms
        assert aggregator is not None
        name = f"{type(plan.job).__name__}|{aggregator!r}|{transforms!r}"
        memory = self._s.reducer_state(
            name, lambda: {"aggregator": aggregator.init(shapes), "transforms": [t.init(shapes) for t in transforms]}
        )
        parts, kept = aggregator.read(acc, memory["aggregator"])
        key = self._s.next_draw("finish")
        after = []
        for i, (t, state) in enumerate(zip(transforms, memory["transforms"], strict=True)):
            parts, state = t.finish(parts, state, key.child(i))
            after.append(state)
        self._s.reducers[name] = {"aggregator": kept, "transforms": after}
        return parts

    def _settle_books(self, call: Call, outcomes: dict[int, Outcome]) -> None:
        """Charge every node for what it did, and take over the node states of the answers that were accepted."""
        s = self._s
        awaited = call.awaited(self.now)
        if (s.clock.virtual or self._real_wires) and call.nodes:
            s.ledger.median_s += call.median(self.now)
        for position, node in enumerate(call.nodes):
            outcome = outcomes.get(position)
            if self._real_wires:
                real.charge(s, call, position, outcome, awaited[position])
            else:
                self._charge(call, position, outcome, awaited[position])
            if outcome is not None and outcome.failed is None:
                s.accept_node_state(node, outcome.state)

    def _charge(self, call: Call, position: int, outcome: Outcome | None, awaited: float = 0.0) -> None:
        s, node, delivery = self._s, call.nodes[position], call.deliveries[position]
        assert delivery is not None
        t, arrived = delivery.times, call.arrivals.get(position)
        done = 1.0 if arrived is not None else t.compute_s / delivery.compute_s if delivery.compute_s else 0.0
        used = outcome is not None and outcome.failed is None
        # On the real clock no delivery is simulated: seconds are those the worker measured.
        compute_s = t.compute_s if s.clock.virtual else (outcome.seconds if outcome else 0.0)
        s.ledger.charge(
            node,
            bytes_down=round(t.sent_down),
            bytes_up=round(t.sent_up),
            messages_down=1 if t.sent_down or arrived is not None else 0,
            messages_up=1 if t.sent_up or arrived is not None else 0,
            compute_s=compute_s,
            wire_s=t.wire_s,
            waiting_s=0.0 if arrived is None else self.now - arrived,
            samples=call.plan.job.work(s.roster.size(node)).trained * done,
            jobs=1,
            dropped=0 if used else 1,
            off_s=t.off_s,
            lost_s=0.0 if used else compute_s,
            awaited_s=awaited,
        )


class _Round:
    """The virtual half of a call: deliveries go out, and the round closes when enough are back, when nobody else can
    come, or when time is up."""

    def __init__(
        self, session: Session, call: Call, needed: int, until: Until, charge: Callable[[Call, int, None], None]
    ) -> None:
        self._s, self._call, self._needed, self._until, self._charge = session, call, needed, until, charge
        self._enough: tuple[int, asyncio.Future[None]] | None = None
        self._fatal: Failed | None = None
        self.over = False
        call.deliveries = [None] * len(call.nodes)

    def send(self, positions: Sequence[int] | range) -> None:
        """Give these positions' nodes their job."""
        for p in positions:
            self._send(p)

    def _send(self, p: int) -> None:
        s, call = self._s, self._call
        node = call.nodes[p]
        call.deliveries[p] = s.wires.send(
            node,
            call.counts[p],
            call.plan.job.work(s.roster.size(node)),
            call.bytes_down,
            call.bytes_up,
            lambda _: self._arrived(p),
            free=not s.communicates,
            lost=None if s.wires.reliable else lambda delivery, reason: self._lost(p, delivery, reason),
        )

    def _arrived(self, position: int) -> None:
        if self.over:
            return
        self._call.arrivals[position] = self._s.clock.now
        self._look()

    def _lost(self, p: int, delivery: Delivery, reason: str) -> None:
        call, failure = self._call, self._until.failure
        if self.over:
            return
        call.deliveries[p] = delivery  # it may be lost while it is being sent
        failed = Failed(call.nodes[p], reason)
        if failure == "retry" and p not in call.retried and reason != NEVER_ON:
            call.retried[p] = failed
            self._charge(call, p, None)
            call.counts[p] = self._s.next_count(call.nodes[p])
            self._send(p)
            return
        call.lost[p] = failed
        short = len(call.arrivals) + call.out < self._needed and self._until.seconds is None
        if short and failure == "abort" and self._fatal is None:
            self._fatal = replace(
                failed,
                reason=f'it {reason}, and the round needs its answer; failure="skip" goes on without, "retry" asks '
                "again when it is back",
            )
        self._look()

    def _look(self) -> None:
        """Close the round if nothing is left to wait for."""
        call = self._call
        if self._enough is not None:
            wanted, future = self._enough
            if len(call.arrivals) >= wanted or not call.out or self._fatal is not None:
                settle(future)

    async def until(self, wanted: int) -> None:
        """Wait until so many have answered or nobody else can, or until the deadline. Errors: ``NodeFailed``."""
        if self.over:
            return
        future = asyncio.get_running_loop().create_future()
        self._enough = (wanted, future)
        self._look()
        if not future.done():
            alarm = None
            if self._until.seconds is not None:
                # Last among the events of its instant: an answer that arrives with the deadline is in time.
                when = self._call.began + self._until.seconds
                alarm = self._s.clock.schedule(when, 2**62, lambda: self._time_is_up(future))
            await future
            if alarm is not None:
                alarm.cancel()
        self._enough = None
        if self._fatal is not None:
            raise node_failed(self._s, self._fatal)

    def _time_is_up(self, future: asyncio.Future[None]) -> None:
        self.over = True
        settle(future)


def _collect(call: Call, running: InOrder) -> tuple[dict[int, Outcome], Any]:
    """Outcomes by position, and the accumulators merged as they come, so that few are alive at a time."""
    aggregator = call.plan.aggregator
    tree = None if aggregator is None else MergeTree(aggregator.merge)
    by_node: dict[int, Outcome] = {}
    for size, result in running.results():
        by_node.update((o.node, o) for o in result.outcomes)
        if tree is not None:
            tree.push(result.acc, size)
    outcomes = {p: by_node[n] for p, n in enumerate(call.nodes) if n in by_node}
    return outcomes, None if tree is None else tree.result()


def _means(outcomes: Any) -> dict[str, float]:
    sums: dict[str, float] = {}
    weight = 0.0
    for o in outcomes:
        weight += o.weight
        for k, v in o.metrics.items():
            sums[k] = sums.get(k, 0.0) + v * o.weight
    return {k: v / weight for k, v in sums.items()} if weight > 0 else {}


def _check_nodes(nodes: tuple[int, ...], n: int) -> None:
    if len(set(nodes)) != len(nodes):
        raise ProgramError("a node was given the same job twice in one map: every node may stand in the list once")
    for node in nodes:
        if not -2 <= node < n:
            raise ProgramError(f"there is no node {node}: their ids are 0..{n - 1}")
