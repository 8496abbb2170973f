"""How long a program's updates are at first: what a rule's radius or bound means cannot be said without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median
from typing import Any, ClassVar

from foedus.aggregators import Mean
from foedus.core.types.data import FederatedDataset
from foedus.core.types.suspicion import Suspicion
from foedus.core.types.transform import holds_numbers
from foedus.core.types.update import Tensors, Update
from foedus.experiment.experiment import Experiment
from foedus.sampling import AfterCommits


@dataclass(frozen=True)
class _Lengths(Mean):
    """A mean that tells of each update how long it is, where a robust rule tells how far off it is."""

    additive: ClassVar[bool] = False

    def empty(self) -> dict[str, Any]:
        return {**super().empty(), "lengths": {}}

    def add(self, acc: dict[str, Any], u: Update) -> dict[str, Any]:
        squares = sum(float(v.double().square().sum()) for k, v in u.value().items() if holds_numbers(k, v.dtype))
        return {**super().add(acc, u), "lengths": {**acc["lengths"], u.node: squares**0.5}}

    def merge(self, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
        return {**super().merge(a, b), "lengths": {**a["lengths"], **b["lengths"]}}

    def judge(self, acc: dict[str, Any], state: Any) -> tuple[Tensors, Any, dict[int, Suspicion]]:
        parts, after = self.read(acc, state)
        return parts, after, {node: Suspicion(0.0, length) for node, length in acc["lengths"].items()}


def typical_length(experiment: Experiment, data: FederatedDataset, field: str) -> float:
    """The median length (Euclidean, of all numbers but buffers) of the updates of honest nodes before the first commit.

    ``field`` is where the program has its aggregator.
    """
    tables = experiment.tables
    program = replace(tables.program, **{field: _Lengths()})  # type: ignore[type-var]
    alone = replace(experiment, tables=replace(tables, program=program, adversary=None, track=()))
    run = alone.train(data=data, stop=[AfterCommits(1)])
    return median(length for _, length in run.history[0].suspects.values())
