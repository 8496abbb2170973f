"""Quality: how good a run's model is, on the coordinator's test set or at the nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from foedus.core.coordination.endings import node_failed
from foedus.core.coordination.evaluation import (
    AT_NODES,
    CHUNK,
    NODES,
    Evaluate,
    combine,
    of_groups,
    of_halves,
    over_nodes,
    together,
)
from foedus.core.coordination.executor import InOrder, Plan, Task
from foedus.core.coordination.judging import Found
from foedus.core.errors import BadInput
from foedus.core.records.judged import as_bytes
from foedus.core.types.data import HELD, TEST, called
from foedus.core.types.job import Job
from foedus.core.types.metric import LOSS, QUALITY, Metric, named
from foedus.core.types.model import Model
from foedus.core.types.roster import Roster, unit_of
from foedus.core.types.scoring import rarest, values
from foedus.core.types.statistics import Statistics
from foedus.core.types.update import Failed, Lost, Refused, Tensors, Update

if TYPE_CHECKING:
    from foedus.core.coordination.session import Session


MOST = 200
"""Nodes of which each is kept how its rows move its values."""


class Quality:
    """Evaluates models for a session. What it takes is no part of the run's time.

    ``rows``, ``rarest``: at the last evaluation at the nodes, how many rows each measured on, and how many of these
    are of its rarest class, where there are classes and they are counted.
    """

    def __init__(self, session: Session) -> None:
        self._s = session
        self.rows: list[int] = []
        self.rarest: list[int | None] = []
        self._answered: list[Update | None] = []

    def of(self, w_D: Tensor) -> Found:
        """Loss and metrics on the test set; without one that the coordinator has, means over all rows that nodes
        evaluate on.
        """
        rows = self._s.roster.test_rows
        return self._in_one_place(w_D, TEST, rows) if rows else self._everywhere(w_D)

    def beside(self, job: Job, w_D: Tensor) -> dict[str, float]:
        """What another job measures of the model, on the rows that it is tested on: means by the answers' weights."""
        nodes = (TEST,) if self._s.roster.test_rows else range(self._s.roster.nodes)
        answers = self._answers(job, {"w": w_D}, [Task(n, 0, {}) for n in nodes])
        return combine([a for a in answers if a is not None])

    def on_held_out(self, w_D: Tensor) -> Found:
        """The same on all rows that nodes hold out, where these are in one place."""
        return self._in_one_place(w_D, HELD, self._s.roster.held_rows)

    def usual(self, at_nodes: bool) -> dict[str, float] | None:
        """What the metrics would be of an answer that is the same for all rows: the shares of the classes, or the
        targets' mean, among the rows that are trained on. None where these are not known, or rows are not in memory.
        """
        constant = usual(self._s.model, self._s.roster)
        if constant is None:
            return None
        measures = tuple(m for m in self._s.model.measures if m.pooled)
        if self._s.roster.test_rows and not at_nodes:
            answers = self._on_rows(
                Evaluate(CHUNK, keep_rows=True, constant=constant), {}, TEST, self._s.roster.test_rows
            )
        else:
            answers = self._at_all(replace(AT_NODES, constant=constant), {})
        return values(measures, together(answers)) or None

    def _plan(self, job: Job) -> Plan:
        return Plan(job, measures=True, unit=unit_of(self._s.roster))

    def _at_all(self, job: Job, args: Tensors) -> list[Update]:
        tasks = [Task(n, 0, {}) for n in range(self._s.roster.nodes)]
        return [a for a in self._answers(job, args, tasks) if a is not None]

    def _everywhere(self, w_D: Tensor) -> Found:
        return self._combined(self._at_all(AT_NODES, {"w": w_D}))

    def _combined(self, answers: list[Update]) -> Found:
        if not answers:
            return Found({LOSS.name: float("nan")})
        measures, parts = self._s.model.measures, of_halves(answers)
        statistics = Statistics.sum(parts) if parts else together(answers)
        halves = [values(measures, s) for s in parts]
        grouped = [of_groups(answers)] if halves else []
        return Found(combine(answers, measures, statistics), halves, grouped, parts or [statistics])

    def _in_one_place(self, w_D: Tensor, place: int, rows: int) -> Found:
        job = Evaluate(CHUNK, keep_rows=True, judge=self._s.roster.tested_on != "train")
        return self._combined(self._on_rows(job, {"w": w_D}, place, rows))

    def _on_rows(self, job: Evaluate, args: Tensors, place: int, rows: int) -> list[Update]:
        """Answers of the parts of rows in one place, in order; none where a loss is NaN or infinite."""
        placed = self._s.executor.place(args)
        try:
            spans = [(at, min(at + CHUNK, rows)) for at in range(0, rows, CHUNK)]
            plans = [self._plan(replace(job, start=start, stop=stop)) for start, stop in spans]
            tickets = [self._s.executor.submit(plan, placed, [[Task(place, 0, {})]]) for plan in plans]
            updates = []
            for ticket in tickets:
                outcome = self._s.executor.wait(ticket).outcomes[0]
                match outcome.missing:
                    case None:
                        pass
                    case Failed(nonfinite=True):
                        return []
                    case missing:
                        raise BadInput(f"the model could not be evaluated on {called(place)}: {missing.reason}")
                assert outcome.update is not None
                updates.append(outcome.update)
        finally:
            self._s.executor.release(placed)
        return updates

    def at_nodes(
        self, given: Tensors | Sequence[Tensors]
    ) -> tuple[Found, dict[str, float], dict[str, list[float | None]]]:
        """Every node evaluates on its own rows, with arguments that all share, or its own.

        The answer is what that is over all rows together, the mean and the worst over nodes, and what each node found:
        a list over the nodes for every metric.
        """
        s = self._s
        job, tasks = s.options.node_evaluation, [Task(n, 0, s.node_state(n)) for n in range(s.roster.nodes)]
        if isinstance(given, Mapping):
            answers = self._answers(job, given, tasks)
        else:
            answers = [a for args, task in zip(given, tasks, strict=True) for a in self._answers(job, args, [task])]
        self.rows = [0 if a is None else round(a.weight) for a in answers]
        self.rarest = [None if a is None else rarest(*(of_halves([a]) or [together([a])])) for a in answers]
        self._answered = answers if len(answers) <= MOST else []
        found = [{} if a is None or a.weight <= 0 else a.metrics for a in answers]
        known = {m.name: m for m in (*s.model.measures, LOSS, *map(named, QUALITY))}
        each = {m: [f.get(m) for f in found] for m in known if any(m in f for f in found)}
        over = {k: v for m, column in each.items() for k, v in over_nodes(known[m], column).items()}
        return self._combined([a for a in answers if a is not None]), over, each

    def node_deviations(self) -> list[dict[str, bytes]] | None:
        """At the last evaluation at the nodes, how groups of each node's rows move its values, as ``Measured`` has
        them; None where there are more than ``MOST`` nodes. It takes some milliseconds a node.
        """
        return [_deviations(a, self._s.model.measures) for a in self._answered] or None

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


def _deviations(answer: Update | None, measures: Sequence[Metric]) -> dict[str, bytes]:
    """How groups of a node's rows move its values; none where rows are in no groups."""
    grouped = of_groups([] if answer is None else [answer])
    return {m: as_bytes(d) for m, d in grouped.deviations(measures, (0, 1)).items()} if grouped.tensors else {}
