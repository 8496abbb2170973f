"""Quality: how good a run's model is, on the coordinator's test set or at the nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from foedus.core.types.statistics import Statistics
from foedus.core.types.update import Failed, Lost, Refused, Tensors, Update

if TYPE_CHECKING:
    from foedus.core.coordination.session import Session


class Quality:
    """Evaluates models for a session. What it takes is no part of the run's time.

    ``found``: the statistics of the last evaluation over all rows, their scores kept where the coordinator has them.
    """

    def __init__(self, session: Session) -> None:
        self._s = session
        self.found = Statistics({})

    def of(self, w_D: Tensor) -> dict[str, float]:
        """Loss and metrics on the test set; without one that the coordinator has, means over all rows that nodes
        evaluate on.
        """
        rows = self._s.roster.test_rows
        return self._on_test_set(w_D, rows) if rows else self._everywhere(w_D)

    def _everywhere(self, w_D: Tensor) -> dict[str, float]:
        tasks = [Task(n, 0, {}) for n in range(self._s.roster.nodes)]
        answers = self._answers(AT_NODES, {"w": w_D}, tasks)
        if all(a is None for a in answers):
            return {"loss": float("nan")}
        return self._combined([a for a in answers if a is not None])

    def _combined(self, answers: list[Update]) -> dict[str, float]:
        self.found = together(answers)
        return combine(answers, self._s.model.measures, self.found)

    def _on_test_set(self, w_D: Tensor, rows: int) -> dict[str, float]:
        placed = self._s.executor.place({"w": w_D})
        try:
            tickets = [
                self._s.executor.submit(
                    Plan(Evaluate(CHUNK, at, min(at + CHUNK, rows), keep_rows=True), measures=True),
                    placed,
                    [[Task(TEST, 0, {})]],
                )
                for at in range(0, rows, CHUNK)
            ]
            updates = []
            for ticket in tickets:
                outcome = self._s.executor.wait(ticket).outcomes[0]
                match outcome.missing:
                    case None:
                        pass
                    case Failed(nonfinite=True):
                        return {"loss": float("nan")}
                    case missing:
                        raise BadInput(f"the test set could not be evaluated: {missing.reason}")
                assert outcome.update is not None
                updates.append(outcome.update)
        finally:
            self._s.executor.release(placed)
        return self._combined(updates)

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
            for _, result in InOrder(self._s.executor, Plan(job, measures=True), placed, groups).results():
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
