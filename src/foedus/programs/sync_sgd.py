"""Synchronous parallel gradient descent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators import Mean
from foedus.core.coordination.federation import Federation
from foedus.core.coordination.until import All, Quorum
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.state import State
from foedus.core.types.transform import Transform
from foedus.jobs import Gradient
from foedus.jobs.schedules import Schedule
from foedus.programs.weights import objective
from foedus.sampling import Cohort, Fixed, Fraction


@dataclass(frozen=True)
class SyncSGD:
    """Synchronous gradient descent in MapReduce form: broadcast the model, map gradients, reduce, update.

    Every node's gradient is summed over its rows (``batch_size`` of them, or all), the sums are added and divided once
    by the number of rows: this is serial gradient descent on the union (McDonald et al. 2010; Zinkevich et al. 2010).
    ``backup`` workers are spare: the update waits for all nodes but so many, and drops the late gradients
    (Chen et al. 2016, arXiv:1604.00981).
    """

    rounds: int
    lr: float | Schedule = 0.1
    batch_size: int | None = None
    backup: int = 0
    cohort: Cohort = Fraction(1.0)
    aggregate: Aggregator = Mean()
    transforms: tuple[Transform, ...] = ()

    def __post_init__(self) -> None:
        if not callable(self.lr) and not (math.isfinite(self.lr) and self.lr >= 0):
            raise BadInput(f"lr must be a non-negative number or a schedule, got {self.lr}")
        if self.batch_size is not None and self.batch_size < 1:
            raise BadInput(f"batch_size must be at least 1, or None for the full batch; got {self.batch_size}")
        if self.backup < 0:
            raise BadInput(f"backup is a number of spare workers, at least 0; got {self.backup}")

    @property
    def objective(self) -> str:
        """What nodes count: by ``"rows"`` under a mean by rows, under any other rule ``"nodes"`` count alike."""
        return objective(self.aggregate)

    async def __call__(self, fed: Federation) -> Tensor:
        s = await fed.begin(lambda w: State(w=w))
        p = fed.layout.parameters
        asked = self.cohort.k if isinstance(self.cohort, Fixed) else fed.nodes
        if self.backup >= asked:
            raise BadInput(f"{self.backup} of {asked} workers cannot be spare: lower backup")
        for t in fed.rounds(self.rounds):
            nodes = await fed.sample(self.cohort)
            # A cohort drawn by Poisson sampling may have no spare workers, or no workers at all.
            until = Quorum(max(1, len(nodes) - self.backup)) if self.backup and nodes else All()
            total = await fed.map_reduce(
                Gradient(self.batch_size), {"w": s.w}, nodes, self.aggregate, transforms=self.transforms, until=until
            )
            if total:
                w = s.w.clone()
                w[:p].sub_(total["gradient"], alpha=self.lr(t) if callable(self.lr) else self.lr)
                if "buffers" in total:
                    w[p:].add_(total["buffers"])
                s = s.replace(w=w)
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]
