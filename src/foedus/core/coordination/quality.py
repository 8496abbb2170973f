"""Quality: how good a run's model is, on the coordinator's test set or at the nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from foedus.core.coordination.endings import node_failed
from foedus.core.coordination.evaluation import AT_NODES, CHUNK, NODES, Evaluate, combine, over_nodes, together
from foedus.core.coordination.executor import InOrder, Plan, Task
from foedus.core.errors import BadInput
from foedus.core.records.run import Record
from foedus.core.types.data import TEST
from foedus.core.types.job import Job
from foedus.core.types.metric import LOSS, QUALITY, Metric, named
from foedus.core.types.model import Model
from foedus.core.types.roster import Roster, unit_of
from foedus.core.types.scoring import values
from foedus.core.types.statistics import Statistics
from foedus.core.types.update import Failed, Lost, Refused, Tensors, Update

if TYPE_CHECKING:
    from foedus.core.coordination.session import Session


class Quality:
    """Evaluates models for a session. What it takes is no part of the run's time.

    ``take`` gives the statistics of the last evaluation over all rows, once.
    """

    def __init__(self, session: Session) -> None:
        self._s = session
        self._found = Statistics({})

    def take(self) -> Statistics | None:
        """The statistics of the last evaluation over all rows, their scores kept where the coordinator has them; None
        where there was none since they were last taken.
        """
        found, self._found = self._found, Statistics({})
        return found if found.tensors else None

    def of(self, w_D: Tensor) -> dict[str, float]:
        """Loss and metrics on the test set; without one that the coordinator has, means over all rows that nodes
        evaluate on.
        """
        rows = self._s.roster.test_rows
        return self._on_test_set(w_D, rows) if rows else self._everywhere(w_D)

    def usual(self, at_nodes: bool) -> dict[str, float] | None:
        """What the metrics would be of an answer that is the same for all rows: the shares of the classes, or the
        targets' mean, among the rows that are trained on. None where these are not known, or rows are not in memory.
        """
        constant = usual(self._s.model, self._s.roster)
        if constant is None:
            return None
        measures = tuple(m for m in self._s.model.measures if m.pooled)
        if self._s.roster.test_rows and not at_nodes:
            answers = self._on_rows(Evaluate(CHUNK, keep_rows=True, constant=constant), {}, self._s.roster.test_rows)
        else:
            answers = self._at_all(replace(AT_NODES, constant=constant), {})
        return values(measures, together(answers)) or None

    def _plan(self, job: Job) -> Plan:
        return Plan(job, measures=True, unit=unit_of(self._s.roster))

    def _at_all(self, job: Job, args: Tensors) -> list[Update]:
        tasks = [Task(n, 0, {}) for n in range(self._s.roster.nodes)]
        return [a for a in self._answers(job, args, tasks) if a is not None]

    def _everywhere(self, w_D: Tensor) -> dict[str, float]:
        answers = self._at_all(AT_NODES, {"w": w_D})
        return self._combined(answers) if answers else {"loss": float("nan")}

    def _combined(self, answers: list[Update]) -> dict[str, float]:
        self._found = together(answers)
        return combine(answers, self._s.model.measures, self._found)

    def _on_test_set(self, w_D: Tensor, rows: int) -> dict[str, float]:
        answers = self._on_rows(Evaluate(CHUNK, keep_rows=True), {"w": w_D}, rows)
        return self._combined(answers) if answers else {"loss": float("nan")}

    def _on_rows(self, job: Evaluate, args: Tensors, rows: int) -> list[Update]:
        """Answers of the test set's parts, in order; none where a loss is NaN or infinite."""
        placed = self._s.executor.place(args)
        try:
            spans = [(at, min(at + CHUNK, rows)) for at in range(0, rows, CHUNK)]
            plans = [self._plan(replace(job, start=start, stop=stop)) for start, stop in spans]
            tickets = [self._s.executor.submit(plan, placed, [[Task(TEST, 0, {})]]) for plan in plans]
            updates = []
            for ticket in tickets:
                outcome = self._s.executor.wait(ticket).outcomes[0]
                match outcome.missing:
                    case None:
                        pass
                    case Failed(nonfinite=True):
                        return []
                    case missing:
                        raise BadInput(f"the test set could not be evaluated: {missing.reason}")
                assert outcome.update is not None
                updates.append(outcome.update)
        finally:
            self._s.executor.release(placed)
        return updates

    def at_nodes(
        self, given: Tensors | Sequence[Tensors], whole: bool
    ) -> tuple[dict[str, float], dict[str, list[float | None]]]:
        """Every node evaluates on its own rows, with arguments that all share, or its own.

        The answer is the mean and the worst over nodes (``whole`` adds what it is over all rows together), and what
        each node found: a list over the nodes for every metric.
        """
        s = self._s
        job, tasks = s.options.node_evaluation, [Task(n, 0, s.node_state(n)) for n in range(s.roster.nodes)]
        if isinstance(given, Mapping):
            answers = self._answers(job, given, tasks)
        else:
            answers = [a for args, task in zip(given, tasks, strict=True) for a in self._answers(job, args, [task])]
        found = [{} if a is None or a.weight <= 0 else a.metrics for a in answers]
        known = {m.name: m for m in (*s.model.measures, LOSS, *map(named, QUALITY))}
        each = {m: [f.get(m) for f in found] for m in known if any(m in f for f in found)}
        over = {k: v for m, values in each.items() for k, v in over_nodes(known[m], values).items()}
        return (over | self._combined([a for a in answers if a is not None]) if whole else over), each

    def _answers(self, job: Job, args: Tensors, tasks: list[Task]) -> list[Update | None]:
        """What nodes answer to a job that evaluates at them; None where that is NaN, refused, or the node is lost."""
        placed = self._s.executor.place(args)
        answers: list[Update | None] = []
        try:
            groups = ([tasks[at : at + NODES]] for at in range(0, len(tasks), NODES))
            for _, result in InOrder(self._s.executor, self._plan(job), placed, groups).results():
                for outcome in result.outcomes:
                    match outcome.missing:
                        case None | Refused() | Failed(nonfinite=True):
                            pass
                        case Lost() if self._s.executor.goes_on:
                            pass
                        case missing:
                            raise node_failed(self._s, missing)
                    answers.append(outcome.update)
        finally:
            self._s.executor.release(placed)
        return answers


def usual(model: Model, roster: Roster) -> tuple[float, ...] | None:
    """A model's output for a row of which nothing is known; None where nobody tells, or the loss is the user's own."""
    if model.loss == "mse":
        return roster.target_mean
    counts = roster.label_counts()
    if model.loss == "cross_entropy" and counts is not None:
        each = [max(float(sum(c)), 0.5) for c in zip(*counts, strict=True)]
        return tuple(math.log(c / sum(each)) for c in each)
    if model.loss == "bce":
        shares = roster.target_mean if counts is None else (sum(c[1] for c in counts) / sum(map(sum, counts)),)
        return None if shares is None else tuple(math.log(max(p, 1e-6) / max(1 - p, 1e-6)) for p in shares)
    return None


def better(record: Record, best: Record | None, measures: Sequence[Metric]) -> bool:
    """Whether an evaluated record beats the best so far by its main metric: the first of these that it has.

    Where it has none of them (a program measures by itself) it is the first of accuracy, AUC, RMSE and loss.
    """
    for m in (*measures, *map(named, QUALITY)):
        now, before = record.measured(m.name), None if best is None else best.measured(m.name)
        if now is None and before is None:
            continue
        if now is None or now != now:
            return False
        return before is None or (now > before if m.higher else now < before)
    return False
