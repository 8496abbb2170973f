"""Site: where a task reaches its node. What any worker does for any runtime: run jobs, and fold their answers."""

from __future__ import annotations

import inspect
import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from foedus.core.coordination.executor import Blocks, Outcome, Plan, Result, Task
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Fold
from foedus.core.types.job import Job, NodeState, NodeView
from foedus.core.types.keys import Key
from foedus.core.types.model import Model
from foedus.core.types.policy import Asked, Policy
from foedus.core.types.roster import NodeData, Prepare, RowStore
from foedus.core.types.torch_process import DRAWS
from foedus.core.types.transform import Shapes, decode_all, encode_all, shapes_of
from foedus.core.types.update import Failed, Named, Tensors, Update, finite

Size = Callable[[int], int]
"""How many rows a node has."""

JOB = "job"
RECEIVED = "@received"
"""After a transform's name, among a node's states: what the coordinator remembers of what it received from it."""


@dataclass(frozen=True)
class Setup:
    """What a run is made of wherever its jobs are computed: every worker of a runtime is given it.

    ``data``    who the nodes are, and how to get to their rows.
    ``seed``    the experiment's.
    ``policy``  the nodes' own word on what they are asked.
    """

    model: Model
    data: NodeData
    seed: int = 0
    policy: Policy = field(default_factory=Policy)


class Site:
    """Where tasks reach their nodes: the rows, one resident model, and what runs blocks on them, a task at a time.

    ``rows``: what it holds, if that is not what ``setup.data.site()`` says.
    ``real_time``: a node that its policy slows down really takes longer (on virtual time it is the clock that knows).
    """

    def __init__(self, setup: Setup, real_time: bool = False, rows: RowStore | None = None) -> None:
        self.model, self.seed, self.policy, self._real_time = setup.model, setup.seed, setup.policy, real_time
        self.data = setup.data.site() if rows is None else rows

    def prepare(self, how: Prepare) -> None:
        """Hold something else from now on, made of what was held."""
        self.data = how(self.data)

    def run(self, plan: Plan, args: Tensors, blocks: Blocks, starting: Callable[[int], None] | None = None) -> Result:
        """Run a group of blocks: fold into one accumulator, or collect the answers. ``starting`` hears of each node."""
        chain = plan.chain(self.model)
        outcomes: list[Outcome] = []

        def updates(tasks: Sequence[Task]) -> Iterator[Update]:
            for task in tasks:
                if starting is not None:
                    starting(task.node)
                outcome = self.answer(plan, chain, args, task)
                receive(plan, chain, outcome, task.state, self.data.size)
                outcomes.append(outcome)
                if outcome.update is not None and plan.folds is not None:
                    yield _taken(outcome)

        if plan.folds is None:
            for tasks in blocks:
                deque(updates(tasks), maxlen=0)
            return Result(None, outcomes)
        folded = Fold(plan.folds)
        for tasks in blocks:
            folded.block(updates(tasks))
        return Result(folded.result(), outcomes)

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
        DRAWS.acquire()
        try:
            # Layers such as dropout draw from torch's default generator.
            torch.default_generator.manual_seed(key.integer())
            asked = Asked(task.node, task.count, plan.job, plan.transforms, plan.aggregator, plan.peer)
            if task.node >= 0:  # what is no node has no word
                out.missing = self.policy.refuses(asked)
                if out.missing is not None:
                    return out
            rows, held = self.data.rows(task.node), self.data.held_out(task.node)
            unit = None if plan.unit is None else torch.tensor(plan.unit, dtype=torch.float64)
            kept = Named(task.state.get(JOB, {}), "what this node remembers")
            view = NodeView(task.node, rows, self.model, kept, key, held, unit)
            if task.own:
                args = {**args, **task.own}
            does = plan.job if task.node < 0 else partial(self.policy.does, asked, job=plan.job)
            update, job_state = _answered(
                does(view, Named(args, f"what {type(plan.job).__name__} was given")), plan.job
            )
            if update.sums and not plan.measures:
                update = replace(update, sums={})
            out.metrics = {k: float(v) for k, v in update.metrics.items()}
            out.missing = unfit(task.node, update, chain[0], plan.job)
            if out.missing is not None:
                return out
            if update.node != task.node:  # most jobs say so themselves
                update = replace(update, node=task.node)
            if plan.transforms or not getattr(plan.folds, "consumes", False):
                update = update.with_parts(self._own(update.parts))
            inspect = plan.inspect or bool(plan.transforms)
            if not (math.isfinite(out.metrics.get("loss", 0.0)) and (not inspect or finite(update.parts))):
                out.missing = Failed(task.node, "loss or update is NaN or infinite", nonfinite=True)
                return out
            out.weight = float(update.weight)
            states = {JOB: job_state}
            if plan.transforms:
                bounds = task.node < 0 or self.policy.bounds(asked)
                update, theirs = _encode(plan, chain, update, task.state, key.child("transform"), bounds)
                states.update(theirs)
            out.state = {k: dict(self._own(check_state(v))) for k, v in states.items() if v}
            out.update = update
        except Exception as e:
            out.missing = _raised(task.node, e)
        finally:
            DRAWS.release()
            out.seconds = time.perf_counter() - started
            if self._real_time and out.missing is None and task.node >= 0:
                rest = (self.policy.slowdown(task.node) - 1.0) * out.seconds
                if rest > 0:
                    time.sleep(rest)
                    out.seconds += rest
        return out


def _answered(answer: Any, job: Job) -> tuple[Update, NodeState]:
    """What a job answers. Errors: ``BadInput`` where that is not an update and what the node remembers."""
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], Update):
        return answer
    got = f"({', '.join(type(x).__name__ for x in answer)})" if isinstance(answer, tuple) else type(answer).__name__
    if inspect.iscoroutine(answer):
        answer.close()
        got = "a coroutine: a job is a plain function, without async"
    raise BadInput(
        f"{type(job).__name__} must return an update and what the node remembers of it, such as "
        f"return Update(parts, weight), {{}}; it returned {got}"
    )


def _taken(outcome: Outcome) -> Update:
    """The outcome's update, which is let go of as soon as it is folded."""
    update, outcome.update = outcome.update, None
    assert update is not None
    return update


def receive(plan: Plan, chain: Sequence[Shapes], out: Outcome, state: Mapping[str, Any], size: Size) -> None:
    """The coordinator's half of one task: make of what a node sent the update that is folded, in place.

    ``chain`` are the shapes of the plan's answers before and after each transform. ``size`` says how many rows a node
    has, as far as the coordinator knows. What it itself remembers of the node joins the states that its answer brings.
    What the job cannot have answered is no answer.
    """
    if out.update is None:
        return
    try:
        if plan.transforms:
            names = _names(plan)
            memories = [state.get(n + RECEIVED, {}) for n in names]
            out.update, theirs = decode_all(plan.transforms, out.update, chain, memories)
            mine = {n + RECEIVED: check_state(s) for n, s in zip(names, theirs, strict=True) if s}
            out.state = {**out.state, **mine}
        out.missing = unfit(out.node, out.update, chain[0], plan.job) or _too_heavy(
            out.node, out.update, plan.job, size
        )
    except Exception as e:
        out.missing = _raised(out.node, e)
    if out.missing is not None:
        out.update, out.state = None, {}


def _too_heavy(node: int, update: Update, job: Job, size: Size) -> Failed | None:
    """Why an answer weighs more than its node's rows allow, where the job says how much that is."""
    most = getattr(job, "most_weight", None)
    if most is None or update.weight <= (at_most := most(rows := size(node))):
        return None
    reason = f"the weight of its update is {update.weight:.6g}, and at its {rows:,} rows it is at most {at_most:.6g}"
    return Failed(node, reason, invalid=True)


def _encode(
    plan: Plan, chain: Sequence[Shapes], u: Update, state: Mapping[str, Any], key: Key, bounds: bool
) -> tuple[Update, dict[str, NodeState]]:
    """What a node sends of an update, and what its transforms remember from now on.

    ``bounds``: whether it does what only bounds or hides the update; from outside nobody sees that it did not.
    """
    names = _names(plan)
    transforms = plan.transforms if bounds else tuple(t.unbounded() for t in plan.transforms)
    sent, mine = encode_all(transforms, u, [state.get(n, {}) for n in names], key)
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


def check_state(state: NodeState) -> dict[str, Tensor]:
    """A node's state as a plain dict. Errors: ``BadInput`` unless it holds named tensors and nothing else."""
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise BadInput(f"node state {name!r} is a {type(value).__name__}, expected a tensor")
    return dict(state)


def unfit(node: int, update: Update, shapes: Shapes, job: Job) -> Failed | None:
    """Why this is no answer of the job's: it did not announce such tensors (its cost was wrong), or it is NaN or
    negative what it weighs. None for one that may be.
    """
    if not math.isfinite(update.weight):
        return Failed(node, f"weight is {update.weight}", nonfinite=True)
    if update.weight < 0:
        reason = f"the weight of its update is {update.weight}, expected a number that is not negative"
        return Failed(node, reason, invalid=True)
    if len(update.parts) != len(shapes) or any(
        name not in shapes or v.shape != shapes[name][0] or v.dtype != shapes[name][1]
        for name, v in update.parts.items()
    ):
        have, said = shapes_of(update.parts), dict(shapes)
        reason = f"{type(job).__name__}.parts() announced {said}, but its answer holds {have}"
        return Failed(node, reason, invalid=True)
    return None
