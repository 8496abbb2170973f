"""Survey: a job that all nodes are given outside of any program, before it begins or beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from foedus.core.coordination.executor import Executor, InOrder, Outcome, Plan, Task, in_groups
from foedus.core.errors import BadInput, WorkerError
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.job import Job
from foedus.core.types.model import Model
from foedus.core.types.roster import Prepare
from foedus.core.types.transform import nbytes, shapes_of
from foedus.core.types.update import Lost, Tensors, Update


def idle_model() -> Model:
    """A model for where there has to be one, though no job looks at it."""
    return Model(nn.ParameterList([torch.zeros(1)]))


@dataclass
class Survey:
    """All nodes, to be asked one job after the other, and an account of what was sent for it.

    ``names`` are those of the nodes, for errors, or None; ``purpose`` is what a node cannot do that has no answer.
    """

    executor: Executor
    nodes: int
    names: tuple[str, ...] | None = None
    purpose: str = "tell of its data"
    bytes: int = 0
    messages: int = 0
    _asked: int = 0
    # Bytes are counted over a model.
    _model: Model = field(default_factory=idle_model)

    def each(self, job: Job, args: Tensors | None = None) -> list[Update]:
        """Every node's answer.

        Errors: ``BadInput`` with the first node that has none, ``WorkerError`` if it is lost.
        """
        answers, _ = self._ask(job, args or {}, None)
        return [o.update for o in answers if o.update is not None]

    def total(self, job: Job, args: Tensors, aggregator: Aggregator) -> Tensors:
        """The aggregate of all nodes' answers, in the order of sums that a round has. Errors as ``each``."""
        _, acc = self._ask(job, args, aggregator)
        total, _ = aggregator.read(acc, None)
        return total

    def prepare(self, how: Prepare) -> None:
        """Have every node make something else of its rows."""
        self.executor.prepare(how)

    def _ask(self, job: Job, args: Tensors, aggregator: Aggregator | None) -> tuple[list[Outcome], Any]:
        plan = Plan(job, aggregator=aggregator)
        tasks = in_groups(self.nodes, self.executor.workers, lambda node: Task(node, self._asked, {}))
        placed = self.executor.place(args)
        try:
            outcomes, acc = InOrder(self.executor, plan, placed, tasks).folded()
        finally:
            self.executor.release(placed)
        self._asked += 1
        self.bytes += (nbytes(shapes_of(args)) + plan.bytes_up(self._model)) * self.nodes
        self.messages += 2 * self.nodes
        for outcome in outcomes:
            if outcome.missing is not None:
                who = outcome.node if self.names is None else self.names[outcome.node]
                kind = WorkerError if isinstance(outcome.missing, Lost) else BadInput
                raise kind(f"node {who} cannot {self.purpose}: {outcome.missing.reason}")
        return outcomes, acc
