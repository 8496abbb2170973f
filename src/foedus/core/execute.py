"""What any worker does for any runtime: run the jobs of a block of nodes, and fold their answers.

A block is a run of consecutive positions of a cohort. Blocks are given to workers in groups. The result of a group is
an accumulator (or the answers themselves) and one ``Outcome`` a node.
"""

from __future__ import annotations

import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from foedus.core.aggregator import Aggregator, MergeTree
from foedus.core.errors import BadInput
from foedus.core.job import Job, NodeState, NodeView
from foedus.core.keys import Key
from foedus.core.ledger import Costs
from foedus.core.model import Model
from foedus.core.roster import Prepare, RowStore
from foedus.core.transform import (
    Shape,
    Shapes,
    Transform,
    decode_all,
    encode_all,
    nbytes,
    shapes_of,
    wire_chain,
)
from foedus.core.update import Failed, Tensors, Update

JOB = "job"
RECEIVED = "@received"
"""After a transform's name, among a node's states: what the coordinator remembers of what it received from it."""


@dataclass(frozen=True)
class Plan:
    """What all nodes of a call have in common. ``aggregator`` None: the answers are wanted one by one.

    ``inspect``: look for NaN and infinity in every update. A mean is finite only if every update in it is, so it is
    looked at once, after the fold; only when it is not, the call is repeated with ``inspect`` to find the node. Where
    there are transforms every update is looked at: a compressor may hide a NaN, and keep it in its state.
    """

    job: Job
    transforms: tuple[Transform, ...] = ()
    aggregator: Aggregator | None = None
    inspect: bool = True

    def chain(self, model: Model) -> Sequence[Shapes]:
        """Shapes of an answer: as the job makes it, and after each transform. The last are what a node sends."""
        return wire_chain(self.transforms, answer_shapes(self.job, model))


@dataclass(frozen=True)
class Task:
    """One job of one node: the node's ``count``-th, which names its randomness. ``state`` is the node's, by owner."""

    node: int
    count: int
    state: dict[str, Any]


Blocks = Sequence[Sequence[Task]]
"""The tasks of consecutive blocks that are run together. Some blocks may have none."""


@dataclass
class Outcome:
    """How one task went. ``state`` is the node's next state, taken over only if the answer is accepted.

    ``costs`` is what was measured at a node that has a process or a machine of its own.
    """

    node: int
    seconds: float = 0.0
    weight: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    failed: Failed | None = None
    update: Update | None = None
    costs: Costs | None = None


@dataclass
class Result:
    """A group's accumulator (None if no answer can be used, or answers were wanted one by one), and its outcomes."""

    acc: Any
    outcomes: list[Outcome]


class Ticket(Protocol):
    """A group of blocks that was submitted."""


class Executor(Protocol):
    """Where jobs run. Groups are dispatched in the order submitted; results are waited for in any order."""

    workers: int
    """How many groups it can run at once."""

    ahead: int
    """Groups worth having in flight at once."""

    def place(self, args: Tensors) -> Any:
        """Put arguments where workers can read them, once for all nodes of a call."""
        ...

    def release(self, placed: Any) -> None:
        """The arguments are no longer needed."""
        ...

    def submit(self, plan: Plan, placed: Any, blocks: Blocks) -> Ticket:
        """Have a group of blocks run."""
        ...

    def wait(self, ticket: Ticket) -> Result:
        """Block until done. Errors: ``WorkerError`` if the worker died."""
        ...

    def cancel(self, ticket: Ticket) -> None:
        """The result will not be asked for."""
        ...

    def prepare(self, how: Prepare) -> None:
        """Have every site hold ``how(what it holds)`` from its next task on: nothing is under way."""
        ...

    def close(self) -> None:
        """Leave nothing behind: no process, no shared memory. May be called twice."""
        ...


@runtime_checkable
class Places(Executor, Protocol):
    """An executor in which every node has a place of its own, and answers when it answers.

    A task runs at its node. What is waited for is real: who is first, who is late and who is lost.
    """

    gone: Mapping[int, str]
    """Nodes that are lost, and how; their tasks fail at once."""

    goes_on: bool
    """Whether the run goes on without a node that is lost (else it ends, and names it)."""

    def watch(self, ticket: Any, done: Callable[[], None]) -> None:
        """Call ``done`` once, from the clock's loop, when ``wait`` has the ticket's result at hand."""
        ...


@runtime_checkable
class Together(Executor, Protocol):
    """An executor that is one node of many, each of which runs the program and makes the same calls.

    A call is one group of all its tasks: each node runs its own, they join their answers among themselves, and every
    one of them has the whole result.
    """

    rank: int
    """The node that this is."""

    gone: Mapping[int, str]
    """Nodes that are lost, and how."""


class InOrder:
    """Groups run in their order, with no more than ``executor.ahead`` of them in flight; the first start at once."""

    def __init__(self, executor: Executor, plan: Plan, placed: Any, groups: Iterable[Blocks]) -> None:
        self._executor, self._plan, self._placed, self._source = executor, plan, placed, iter(groups)
        self._pending: deque[tuple[int, Ticket | None]] = deque()
        self._fill()

    def _fill(self) -> None:
        while len(self._pending) < self._executor.ahead:
            group = next(self._source, None)
            if group is None:
                return
            ticket = self._executor.submit(self._plan, self._placed, group) if any(group) else None
            self._pending.append((len(group), ticket))

    def results(self) -> Iterator[tuple[int, Result]]:
        """How many blocks, and their result."""
        try:
            while self._pending:
                blocks, ticket = self._pending.popleft()
                result = Result(None, []) if ticket is None else self._executor.wait(ticket)
                self._fill()
                yield blocks, result
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Nobody wants the rest."""
        for _, ticket in self._pending:
            if ticket is not None:
                self._executor.cancel(ticket)
        self._pending.clear()


class Site:
    """What a worker holds: rows, one resident model and the experiment's seed. Runs blocks one task at a time."""

    def __init__(self, model: Model, data: RowStore, seed: int) -> None:
        self.model, self.data, self.seed = model, data, seed

    def prepare(self, how: Prepare) -> None:
        """Hold something else from now on, made of what was held."""
        self.data = how(self.data)

    def run(self, plan: Plan, args: Tensors, blocks: Blocks, starting: Callable[[int], None] | None = None) -> Result:
        """Run a group of blocks: fold into one accumulator, or collect the answers. ``starting`` hears of each node."""
        chain = plan.chain(self.model)
        outcomes = []
        merge = None if plan.aggregator is None else MergeTree(plan.aggregator.merge)
        for tasks in blocks:
            acc, good = plan.aggregator.empty() if plan.aggregator is not None else None, False
            for task in tasks:
                if starting is not None:
                    starting(task.node)
                outcome = self.answer(plan, chain, args, task)
                receive(plan, chain, outcome, task.state)
                if outcome.update is not None and plan.aggregator is not None:
                    acc, good = plan.aggregator.add(acc, outcome.update), True
                    outcome.update = None
                outcomes.append(outcome)
            if merge is not None:
                merge.push(acc if good else None)
        return Result(merge.result() if merge is not None else None, outcomes)

    def _own(self, tensors: Tensors) -> Tensors:
        """The tensors; views of the resident model get memory of their own, for the next job overwrites it."""
        resident = _storage(self.model.flat)
        if all(_storage(v) != resident for v in tensors.values()):
            return tensors
        return {k: v.clone() if _storage(v) == resident else v for k, v in tensors.items()}

    def answer(self, plan: Plan, chain: Sequence[Shapes], args: Tensors, task: Task) -> Outcome:
        """The node's half of one task: what it sends, transformed if there are transforms. ``receive`` is the other."""
        started = time.perf_counter()
        out = Outcome(task.node)
        key = Key(self.seed).child(JOB, task.node, task.count)
        # Layers such as dropout draw from torch's default generator.
        torch.default_generator.manual_seed(key.integer())
        try:
            rows, held = self.data.rows(task.node), self.data.held_out(task.node)
            view = NodeView(task.node, rows, self.model, task.state.get(JOB, {}), key, held)
            update, job_state = plan.job(view, args)
            out.weight = float(update.weight)
            out.metrics = {k: float(v) for k, v in update.metrics.items()}
            check_answer(update, chain[0], plan.job)
            if plan.transforms or not getattr(plan.aggregator, "consumes", False):
                update = update.with_parts(self._own(update.parts))
            inspect = plan.inspect or bool(plan.transforms)
            if not (math.isfinite(out.metrics.get("loss", 0.0)) and (not inspect or finite(update.parts))):
                out.failed = Failed(task.node, "its update or its loss is NaN or infinite", nonfinite=True)
                return out
            kept = {JOB: job_state}
            if plan.transforms:
                update, states = _encode(plan, chain, update, task.state, key.child("transform"))
                kept.update(states)
            out.state = {k: dict(self._own(check_state(v))) for k, v in kept.items() if v}
            out.update = update
        except Exception as e:
            out.failed = _raised(task.node, e)
        finally:
            out.seconds = time.perf_counter() - started
        return out


def receive(plan: Plan, chain: Sequence[Shapes], out: Outcome, state: dict[str, Any]) -> None:
    """The coordinator's half of one task: make of what a node sent the update that is folded, in place.

    ``chain`` are the shapes of the plan's answers before and after each transform. What the coordinator itself
    remembers of the node joins the states that its answer brings.
    """
    if out.update is None or not plan.transforms:
        return
    names = _names(plan)
    try:
        out.update, theirs = decode_all(
            plan.transforms, out.update, chain, [state.get(n + RECEIVED, {}) for n in names]
        )
        out.state = {**out.state, **{n + RECEIVED: check_state(s) for n, s in zip(names, theirs, strict=True) if s}}
    except Exception as e:
        out.failed, out.update, out.state = _raised(out.node, e), None, {}


def _encode(
    plan: Plan, chain: Sequence[Shapes], u: Update, state: dict[str, Any], key: Key
) -> tuple[Update, dict[str, NodeState]]:
    """What a node sends of an update, and what its transforms remember from now on."""
    names = _names(plan)
    sent, mine = encode_all(plan.transforms, u, [state.get(n, {}) for n in names], key)
    if shapes_of(sent.parts) != dict(chain[-1]):
        raise BadInput(f"{plan.transforms} announced {chain[-1]}, but sent {shapes_of(sent.parts)}")
    return sent, dict(zip(names, mine, strict=True))


def _names(plan: Plan) -> list[str]:
    # What a transform remembers is kept by its place, the kind of job and its text: a program may make several calls.
    return [f"{i}:{type(plan.job).__name__}:{t!r}" for i, t in enumerate(plan.transforms)]


def _raised(node: int, e: Exception) -> Failed:
    first = (str(e).strip().splitlines() or [""])[0]
    return Failed(node, f"{type(e).__name__}: {first}", log=traceback.format_exc())


def _storage(t: Tensor) -> int:
    return t.untyped_storage().data_ptr()


def finite(parts: Tensors) -> bool:
    """Whether every number is finite."""
    for v in parts.values():
        # NaN and infinity survive a sum; the search for them runs only if the sum is suspect (it may just overflow).
        if v.is_floating_point() and not math.isfinite(v.sum().item()) and not bool(torch.isfinite(v).all()):
            return False
    return True


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


def check_state(state: NodeState) -> dict[str, Tensor]:
    """A node's state as a plain dict. Errors: ``BadInput`` unless it holds named tensors and nothing else."""
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise BadInput(f"node state {name!r} is a {type(value).__name__}, expected a tensor")
    return dict(state)


def check_answer(update: Update, shapes: Shapes, job: Job) -> None:
    """Errors: ``BadInput`` for an answer that its job did not announce (its cost was wrong), and for a bad weight."""
    if not (math.isfinite(update.weight) and update.weight >= 0):
        raise BadInput(f"the weight of its update is {update.weight}, expected a number that is not negative")
    if len(update.parts) != len(shapes) or any(
        name not in shapes or v.shape != shapes[name][0] or v.dtype != shapes[name][1]
        for name, v in update.parts.items()
    ):
        have, said = shapes_of(update.parts), dict(shapes)
        raise BadInput(f"{type(job).__name__}.parts() announced {said}, but its answer holds {have}")


def message_bytes(plan: Plan, args_bytes: int, model: Model) -> tuple[int, int]:
    """Bytes to a node and back for one job of a plan, known before it runs."""
    return args_bytes, nbytes(plan.chain(model)[-1])
