"""Executors: where jobs run. One base class, ``Executor``, says what any runtime must bring.

A call gives one plan to many nodes, as one task each. Tasks lie in blocks: a block is a run of consecutive places of a
cohort, folded in sequence. Blocks are given to an executor in groups, and what comes back of a group is one accumulator
(or the answers themselves) and one ``Outcome`` a task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from foedus.core.errors import BadInput
from foedus.core.records.ledger import Costs
from foedus.core.types.aggregator import Aggregator, Fold, blocks, groups
from foedus.core.types.job import Job
from foedus.core.types.model import Model
from foedus.core.types.roster import Prepare
from foedus.core.types.transform import Shape, Shapes, Transform, nbytes, wire_chain
from foedus.core.types.update import Failed, Lost, Refused, Tensors, Update


@dataclass(frozen=True)
class Plan:
    """What all nodes of a call have in common. ``aggregator`` None: the answers are wanted one by one.

    ``inspect``: look for NaN and infinity in every update. A mean is finite only if every update in it is, so it is
    looked at once, after the fold; only when it is not, the call is repeated with ``inspect`` to find the node. Where
    there are transforms every update is looked at: a compressor may hide a NaN, and keep it in its state.
    ``gathered``: answers come to the coordinator one by one all the same, for whoever has to see them together.
    ``measures``: a measurement of the run's own, whose bytes are nobody's: answers keep what adds up over rows, and
    ``unit`` says what 1 in each target is in its own unit, where targets are scaled.
    ``peer``: the node gave itself the job, as peers do.
    """

    job: Job
    transforms: tuple[Transform, ...] = ()
    aggregator: Aggregator | None = None
    inspect: bool = True
    measures: bool = False
    unit: tuple[float, ...] | None = None
    gathered: bool = False
    peer: bool = False

    @property
    def folds(self) -> Aggregator | None:
        """What joins answers where they are made; None where they come one by one."""
        return None if self.gathered else self.aggregator

    def chain(self, model: Model) -> Sequence[Shapes]:
        """Shapes of an answer: as the job makes it, and after each transform. The last are what a node sends."""
        return wire_chain(self.transforms, answer_shapes(self.job, model))

    def bytes_up(self, model: Model) -> int:
        """Bytes of an answer, known before it is computed."""
        return nbytes(self.chain(model)[-1])


@dataclass(frozen=True)
class Task:
    """One job of one node: the node's ``count``-th, which names its randomness.

    ``state`` is what the node remembers, by owner: tensors, or what earlier outcomes had in their place. ``own`` are
    arguments for this node alone, beside those of the call.
    """

    node: int
    count: int
    state: Mapping[str, Any]
    own: Tensors = field(default_factory=dict)


Blocks = Sequence[Sequence[Task]]
"""The tasks of consecutive blocks that are run together. Some blocks may have none."""


@dataclass
class Outcome:
    """How one task went: ``missing`` says why there is no answer, ``update`` is the answer, unless it was folded.

    ``seconds`` the job took. ``state`` is the node's next state by owner, taken over only if the answer is accepted:
    tensors, or where nodes keep their own, whatever stands for them until ``Executor.fetch``. ``costs`` is what the
    executor has measured of the task: bytes and messages that really moved, seconds of each kind. None: nothing moved,
    and the call's own figures stand (raw bytes of arguments and answer, ``seconds`` of compute).
    """

    node: int
    seconds: float = 0.0
    weight: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    missing: Failed | Refused | Lost | None = None
    update: Update | None = None
    costs: Costs | None = None


@dataclass
class Result:
    """A group's accumulator (None if no answer can be used, or answers were wanted one by one), and its outcomes."""

    acc: Any
    outcomes: list[Outcome]


class Executor(ABC):
    """Where jobs run: all that a runtime must bring, beside its clock.

    Groups of blocks are submitted, and their results waited for, in any order and each at most once. An executor holds
    a ``Site`` wherever it computes, which does what there is to do for a group; it needs to bring groups there, and
    results back. A newcomer overrides ``submit``, ``wait``, ``watch`` and ``close``.
    """

    workers: int = 1
    """How many groups it can run at once."""

    ahead: int = 1
    """Groups worth having in flight at once, where there are many."""

    apart: bool = False
    """Whether every node has a place of its own: then each task is a group, and goes to its node."""

    size: Callable[[int], int]
    """How many rows a node has, as far as the coordinator knows; a session says so when it takes an executor over."""

    gone: Mapping[int, str] = {}
    """Where nodes are apart: those that are lost for good, and how. Their tasks are ``Lost`` at once."""

    @property
    def goes_on(self) -> bool:
        """Whether the run goes on without a node that is lost (else it ends, and names it)."""
        return False

    def place(self, args: Tensors) -> Any:
        """Put arguments where workers can read them, once for all nodes of a call. A copy: the program may change its
        tensors in place before a job has run.
        """
        return {k: v.clone() for k, v in args.items()}

    def release(self, placed: Any) -> None:
        """The arguments are no longer needed."""
        return

    @abstractmethod
    def submit(self, plan: Plan, placed: Any, blocks: Blocks) -> Any:
        """Have a group of blocks run; a ticket for its result."""

    @abstractmethod
    def wait(self, ticket: Any) -> Result:
        """Block until the group is done. Errors: ``WorkerError`` if what ran it has died."""

    @abstractmethod
    def watch(self, ticket: Any, done: Callable[[], None]) -> None:
        """Call ``done`` once, from any thread, when ``wait`` would not block. Called inside a running asyncio loop."""

    def cancel(self, ticket: Any) -> None:
        """The result will not be asked for."""
        return

    def fetch(self, states: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
        """Nodes' states with their tensors, for a checkpoint; None for one that is lost with its node.

        Tensors travel with tasks and outcomes, unless an executor's nodes keep their own: then it puts something that
        stands for them into outcomes, finds it again in later tasks, and brings the tensors home here and nowhere else.
        """
        return list(states)

    def prepare(self, how: Prepare) -> None:
        """Have every site hold ``how(what it holds)`` from its next task on: nothing is under way. Only for data that
        its nodes agree on before the run.
        """
        raise BadInput(f"{type(self).__name__} cannot prepare data at its nodes: give it data that is here")

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind: no process, no shared memory. May be called twice."""


class InOrder:
    """Groups run in their order, with no more than ``executor.ahead`` of them in flight; the first start at once."""

    def __init__(self, executor: Executor, plan: Plan, placed: Any, groups: Iterable[Blocks]) -> None:
        self._executor, self._plan, self._placed, self._source = executor, plan, placed, iter(groups)
        self._pending: deque[tuple[int, Any]] = deque()
        self._fill()

    def _fill(self) -> None:
        while len(self._pending) < self._executor.ahead:
            group = next(self._source, None)
            if group is None:
                return
            ticket = self._executor.submit(self._plan, self._placed, group) if any(group) else None
            self._pending.append((len(group), ticket))

    @property
    def left(self) -> bool:
        """Whether there are more results."""
        return bool(self._pending)

    @property
    def next(self) -> Any:
        """The ticket whose result comes next; None where a group had no tasks."""
        return self._pending[0][1]

    def take(self) -> tuple[int, Result]:
        """How many blocks the next group had, and its result."""
        blocks, ticket = self._pending.popleft()
        result = Result(None, []) if ticket is None else self._executor.wait(ticket)
        self._fill()
        return blocks, result

    def results(self) -> Iterator[tuple[int, Result]]:
        """All of them, one by one."""
        try:
            while self.left:
                yield self.take()
        finally:
            self.cancel()

    def folded(self) -> tuple[list[Outcome], Any]:
        """All outcomes, and all accumulators merged as they come, so that few are alive (None: nothing was folded)."""
        folded = None if self._plan.folds is None else Fold(self._plan.folds)
        outcomes: list[Outcome] = []
        for size, result in self.results():
            outcomes += result.outcomes
            if folded is not None:
                folded.group(result.acc, size)
        return outcomes, None if folded is None else folded.result()

    def cancel(self) -> None:
        """Nobody wants the rest."""
        for _, ticket in self._pending:
            if ticket is not None:
                self._executor.cancel(ticket)
        self._pending.clear()


def in_groups(cohort: int, workers: int, task: Callable[[int], Task | None]) -> Iterator[Blocks]:
    """The tasks of a cohort's places by group and block, each made when its group begins; None where there is none."""
    spans = blocks(cohort)
    for group in groups(len(spans), workers):
        yield [[made for place in spans[block] if (made := task(place)) is not None] for block in group]


def answer_shapes(job: Job, model: Model) -> Shapes:
    """Shapes of a job's answer, as it says before it runs."""
    shapes: dict[str, Shape] = {}
    for name, said in job.parts(model).items():
        match said:
            case (tuple() as shape, torch.dtype() as dtype):
                shapes[name] = (shape, dtype)
            case _:
                shapes[name] = (tuple(said), torch.float32)
    return shapes
