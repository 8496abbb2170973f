"""Federation: what a server-side program sees. Give node n job j, get an answer back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from foedus.core.coordination.call import Call
from foedus.core.coordination.endings import diverged
from foedus.core.coordination.executor import InOrder, Outcome, Plan, answer_shapes
from foedus.core.coordination.given import (
    check_aggregator,
    check_args,
    check_job,
    check_nodes,
    check_state,
    first_state,
)
from foedus.core.coordination.mistakes import Calls, awaited
from foedus.core.coordination.population import Cohort, Drawn, Population, Selection, TooFew
from foedus.core.coordination.round import Round
from foedus.core.coordination.session import Session
from foedus.core.coordination.stream import Stream
from foedus.core.coordination.until import All, Until
from foedus.core.errors import BadInput, Deadlock, Diverged, NobodyInTime, ProgramError
from foedus.core.types.aggregator import Aggregator, join, read
from foedus.core.types.data import NO_ROOT, POOLED, ROOT, TEST
from foedus.core.types.job import Job
from foedus.core.types.keys import Key
from foedus.core.types.model import Layout
from foedus.core.types.roster import Roster
from foedus.core.types.state import State
from foedus.core.types.suspicion import Suspicions
from foedus.core.types.transform import Transform, nbytes, prepare, shapes_of
from foedus.core.types.update import Answer, Failed, Missing, Tensors, Update, finite, part_of

WAITS = 10_000
"""So often a cohort waits for nodes to come on before it is given up: some will never be on at once."""


@dataclass(frozen=True)
class Reduced(Mapping[str, Tensor]):
    """One answer from many: the aggregate's parts by name, and who took part.

    Empty, and so false, if nobody's answer was used. ``missing`` says by node why it took no part: it was late,
    refused, failed or was lost. ``metrics`` are means by weight. ``drawn`` is how the cohort was drawn, if that is
    known.
    """

    parts: Tensors
    arrived: tuple[int, ...]
    missing: Mapping[int, Missing]
    metrics: Mapping[str, float]
    weight: float = 0.0
    drawn: Drawn | None = None

    def __getitem__(self, part: str) -> Tensor:
        return part_of(self.parts, part, "the joined answer" if self.arrived else "an answer that nobody gave")

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
        self.calls = Calls("fed")

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
    def roster(self) -> Roster:
        """All that is known of the nodes; no row is among it."""
        return self._s.roster

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

    @awaited
    async def sleep(self, seconds: float) -> None:
        """Let that many seconds pass on the runtime's clock."""
        await self._s.until(self.now + seconds, -1)

    # -- state and rounds --------------------------------------------------------------------------------------

    @awaited
    async def begin(self, init: Callable[[Tensor], State]) -> State:
        """The first state, ``init(w)`` of the model's initial vector (D,), or the one a stopped run left off with."""
        if self._s.state is None:
            self._s.state = first_state(init, self._s.model.initial.clone())
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
                self.calls.check()
                raise ProgramError(f"round {before} ended without fed.commit(state): nothing of it would be kept")

    def available(self) -> Sequence[int]:
        """Ids of the nodes that are on now, ascending."""
        presence, gone = self._s.deliveries.presence, self._s.executor.gone
        if gone:
            return [n for n in range(self.nodes) if n not in gone]
        return range(self.nodes) if presence is None else presence.on()

    @awaited
    async def sample(self, how: Cohort) -> tuple[int, ...]:
        """Node ids of a cohort, ascending.

        A cohort that draws from those that are on waits until there are enough. Errors: ``BadInput`` if it is larger
        than the federation, ``Deadlock`` if there never will be enough.
        """
        key: Key = self._s.next_draw("sample")
        everybody = Population(range(self.nodes), lambda: self.sizes, self.available)
        began, most, presence = self.now, 0, self._s.deliveries.presence
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

    @awaited
    async def commit(
        self,
        state: State,
        metrics: dict[str, float] | None = None,
        *,
        extra: dict[str, float] | None = None,
        at_nodes: Tensors | Sequence[Tensors] | None = None,
        each: Sequence[Mapping[str, float]] | None = None,
        suspects: Suspicions | None = None,
    ) -> None:
        """End of a step: checkpoint, record, evaluate ``state.w`` if that is due, ask the stop rules.

        ``metrics`` replaces the evaluation of ``state.w``: a program whose model is not one vector knows better. With
        one model a node in ``at_nodes`` they are taken for means over these models, each on all the rows.
        ``extra`` metrics stand beside it. ``at_nodes`` is for programs whose nodes have models of their own: the
        arguments of the program's ``node_evaluation``. If all nodes share them, the commit's evaluation is that of all
        nodes, its loss and metrics being means over all the rows that nodes evaluate on. One a node are used only
        where nodes are evaluated anyway. ``each``: what of each node's own model the ``metrics`` are the means, in the
        order of the nodes; it is kept, so that every node can be told how it would do for the others. ``suspects``:
        what a program that judges answers by itself says of nodes, by id; an aggregator's judgement is noted without.
        """
        self.calls.check()
        check_state(state, "fed.commit")
        if self._open:
            raise ProgramError(f"commit was called while {self._open} map call(s) were under way: await them first")
        self._s.note_suspects(suspects or {})
        self._s.commit(state, metrics, extra, at_nodes=at_nodes, each=each)

    @awaited
    async def evaluate(self, w_D: Tensor) -> dict[str, float]:
        """Loss and metrics of a model vector on the test set."""
        return self._s.evaluate(w_D)

    def draw(self, purpose: str) -> Key:
        """The key of the next random draw that the program itself makes; each purpose has draws of its own."""
        return self._s.next_draw(f"program {purpose}")

    # -- giving jobs -------------------------------------------------------------------------------------------

    @awaited
    async def map(
        self,
        job: Job,
        args: Tensors,
        nodes: Sequence[int],
        *,
        each: Mapping[int, Tensors] | None = None,
        transforms: Sequence[Transform] = (),
        until: Until = All(),
    ) -> list[Answer]:
        """Give every node the job with the same arguments; their answers in the order of ``nodes``.

        Where there is no update of a node, a ``Late``, ``Refused``, ``Failed`` or ``Lost`` stands in its place. Of an
        over-selected cohort the first answers end the call, see ``Selection``. ``each``: arguments for single nodes,
        by id, beside those that all share.
        """
        check_job(job)
        plan = Plan(job, prepare(transforms, self.layout), None)
        call, _ = await self._perform(plan, args, nodes, until, each)
        self._note(call)
        return [call.answer(p) for p in range(len(call.nodes))]

    @awaited
    async def map_reduce(
        self,
        job: Job,
        args: Tensors,
        nodes: Sequence[int],
        aggregator: Aggregator,
        *,
        each: Mapping[int, Tensors] | None = None,
        transforms: Sequence[Transform] = (),
        until: Until = All(),
    ) -> Reduced:
        """Give every node the job with the same arguments, and join their answers into one.

        What the aggregator and the transforms remember from call to call is kept by job, aggregator and transforms,
        and is part of the checkpoint. An aggregator that takes several phases to join answers brings them itself, see
        ``Phased``.
        """
        check_job(job)
        check_aggregator(aggregator)
        if isinstance(aggregator, Phased):
            return await aggregator.exchange(self, job, args, nodes, each=each, transforms=transforms, until=until)
        # Whoever may be left out has to be found before the answers are one sum.
        inspect = aggregator.robust or until.failure != "abort"
        plan = Plan(job, prepare(transforms, self.layout), aggregator, inspect=inspect)
        call, acc = await self._perform(plan, args, nodes, until, each)
        parts: Tensors = {}
        if acc is not None:
            parts = self._finish(plan, acc)
            if not aggregator.robust and not finite(parts):
                raise self._culprit(call, args)
        metrics = self._note(call)
        why = {p: call.why(p) for p in range(len(call.nodes))}
        return Reduced(
            MappingProxyType(dict(parts)),
            tuple(call.nodes[p] for p, missing in why.items() if missing is None),
            MappingProxyType({call.nodes[p]: missing for p, missing in why.items() if missing is not None}),
            MappingProxyType(metrics),
            sum(o.weight for o in _good(call)),
            call.drawn,
        )

    def join(self, aggregator: Aggregator, updates: Sequence[Update], memory: Any = None) -> tuple[Tensors, Any]:
        """Join updates that are all at hand, such as those of a stream; ``(parts, memory)``. What the aggregator says
        of nodes is noted. ``memory`` is what it remembers, which the program keeps in its state.
        """
        parts, memory, said = join(aggregator, updates, memory)
        self._s.note_suspects(said)
        return parts, memory

    def stream(
        self,
        job: Job,
        *,
        transforms: Sequence[Transform] = (),
        commits: int | None = None,
        failure: str = "abort",
        robust: bool = False,
    ) -> Stream:
        """Asynchronous work: ``async with fed.stream(job) as updates``. See ``Stream``."""
        self._s.driver.check_stream()
        return Stream(self._s, Plan(job, prepare(transforms, self.layout), None), commits, failure, robust)

    # -- how a call goes ---------------------------------------------------------------------------------------

    async def _perform(
        self, plan: Plan, args: Tensors, asked: Sequence[int], until: Until, each: Mapping[int, Tensors] | None
    ) -> tuple[Call, Any]:
        """The call when it is over, and the merged accumulator (None: no answers)."""
        check_args(args)
        check_nodes(asked)
        s, nodes = self._s, tuple(asked)
        _check_nodes(nodes, self.nodes)
        for node in nodes:
            if node < 0:
                rows = s.roster.size(node)  # it says so where those rows are in no one place
                if node == ROOT and not rows:
                    raise BadInput(NO_ROOT)
        first, drawn = (asked.first, asked.drawn) if isinstance(asked, Selection) else (None, None)
        if s.policy.collusion is not None:
            plan = replace(plan, gathered=True)
        robust = plan.aggregator is not None and plan.aggregator.robust
        round_ = Round(len(nodes), until, first=first, robust=robust, empty=s.carried.empty_rounds)
        placed = s.executor.place(args)
        self._open += 1
        try:
            call = Call(s, plan, args, placed, nodes, round_, nbytes(shapes_of(args)), each or {}, drawn)
            acc = await s.driver.perform(call)
        finally:
            self._open -= 1
            s.executor.release(placed)
        s.carried.empty_rounds = round_.empty
        if round_.hopeless:
            raise NobodyInTime(
                f"in {round_.empty} rounds in a row nobody answered within {until!r}: {s.driver.hint(call)}"
            )
        return call, acc

    def _note(self, call: Call) -> dict[str, float]:
        """Tell the books who took part since the last commit; the means of this call's metrics."""
        good = [o for o in _good(call) if o.node != ROOT]  # a yardstick, and no part of what is trained
        metrics = _means(good)
        if call.nodes != (ROOT,):  # what the coordinator does itself, to measure nodes by, is no part of the round
            self._s.note(len(good), sum(o.weight for o in good), metrics.get("loss"))
        return metrics

    def _culprit(self, call: Call, args: Tensors) -> Diverged:
        """The error for an aggregate that is not finite. The jobs are repeated, to find the first node to blame."""
        s, plan = self._s, replace(call.plan, inspect=True)
        used = {p for p, o in call.outcomes.items() if o.missing is None}
        placed = s.executor.place(args)
        try:
            for _, result in InOrder(s.executor, plan, placed, call.tasks(used)).results():
                for outcome in result.outcomes:
                    if isinstance(outcome.missing, Failed):
                        return diverged(s, outcome.missing)
        finally:
            s.executor.release(placed)
        return Diverged(
            f"the sum of the updates overflowed in round {s.round + 1}, although each is finite: float32 ends "
            "at 3.4e38. Lower the learning rate or clip updates"
        )

    def _finish(self, plan: Plan, acc: Any) -> Tensors:
        shapes = answer_shapes(plan.job, self._s.model)
        aggregator, transforms = plan.aggregator, plan.transforms
        assert aggregator is not None
        name = f"{type(plan.job).__name__}|{aggregator!r}|{transforms!r}"
        memory = self._s.reducer_state(
            name, lambda: {"aggregator": aggregator.init(shapes), "transforms": [t.init(shapes) for t in transforms]}
        )
        parts, kept, said = read(aggregator, acc, memory["aggregator"])
        self._s.note_suspects(said)
        key = self._s.next_draw("finish")
        after = []
        for i, (t, state) in enumerate(zip(transforms, memory["transforms"], strict=True)):
            parts, state = t.finish(parts, state, key.child(i))
            after.append(state)
        self._s.reducers[name] = {"aggregator": kept, "transforms": after}
        return parts


@runtime_checkable
class Phased(Protocol):
    """An aggregator that joins answers in several phases: its own exchange, of any jobs, under every program.

    ``exchange`` is given what ``map_reduce`` was, and gives the nodes jobs of its own by ``fed.map`` and
    ``fed.map_reduce``: keys first, say, then the given job's answers masked as integers, then what unmasks their sum.
    What it answers is what ``map_reduce`` answers. An exchange in which nobody sees a single answer has no place inside
    for a rule that looks for dishonest nodes, such as ``Median``: that has to see what each node sent.
    """

    async def exchange(
        self,
        fed: Federation,
        job: Job,
        args: Tensors,
        nodes: Sequence[int],
        *,
        each: Mapping[int, Tensors] | None,
        transforms: Sequence[Transform],
        until: Until,
    ) -> Reduced: ...


def _good(call: Call) -> list[Outcome]:
    return [o for o in call.outcomes.values() if o.missing is None]


def _means(outcomes: Any) -> dict[str, float]:
    """Means by weight of each metric, over those that say it."""
    sums: dict[str, float] = {}
    weights: dict[str, float] = {}
    for o in outcomes:
        for k, v in o.metrics.items():
            sums[k] = sums.get(k, 0.0) + v * o.weight
            weights[k] = weights.get(k, 0.0) + o.weight
    return {k: v / weights[k] for k, v in sums.items() if weights[k] > 0}


def _check_nodes(nodes: tuple[int, ...], n: int) -> None:
    if len(set(nodes)) != len(nodes):
        raise ProgramError("a node was given the same job twice in one map: every node may stand in the list once")
    for node in nodes:
        if not 0 <= node < n and node not in (POOLED, TEST, ROOT):
            raise ProgramError(f"there is no node {node}: their ids are 0..{n - 1}")
