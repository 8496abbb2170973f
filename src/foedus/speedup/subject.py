"""What is measured: one experiment, its rows shared out evenly among any number of processes.

Legend: ``p`` processes, ``P`` the most that are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from foedus.core.coordination.executor import Plan
from foedus.core.errors import BadInput
from foedus.core.types.data import POOLED, FederatedDataset
from foedus.core.types.job import Job
from foedus.core.types.keys import Key
from foedus.core.types.model import Model
from foedus.core.types.transform import prepare
from foedus.experiment import Experiment
from foedus.jobs import Gradient
from foedus.programs import FedAvg, SyncSGD
from foedus.sampling import Fraction


@dataclass(frozen=True)
class Subject:
    """An experiment that can be measured with any number of nodes.

    ``data`` all rows, whoever had them in the file; ``index`` their positions, shuffled once.
    """

    name: str
    program: SyncSGD | FedAvg
    model: Model
    data: FederatedDataset
    index: torch.Tensor
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows that there are to train on."""
        return len(self.index)

    @property
    def nbytes(self) -> int:
        """Bytes of the model's vector."""
        return int(self.model.initial.numel()) * self.model.initial.element_size()

    def message(self, exchange: str) -> float:
        """Bytes of a message's numbers, the mean of both directions. Transforms shrink what goes up to a server; what
        equals hand to each other is what was decoded.
        """
        if exchange != "server":
            return float(self.nbytes)
        plan = Plan(self.job(1), prepare(self.program.transforms, self.model.layout))
        down, up = self.nbytes, plan.bytes_up(self.model)
        return (down + up) / 2

    def check(self, processes: Sequence[int]) -> None:
        """Errors: ``BadInput`` if there are not rows enough, or a batch is too small, for so many processes."""
        most = max(processes)
        if most > self.rows:
            raise BadInput(f"{most} processes cannot share {self.rows} rows: every process needs one; ask for fewer")
        batch = self.program.batch_size if isinstance(self.program, SyncSGD) else None
        if batch is not None and batch < most:
            raise BadInput(
                f"{most} processes cannot share a batch of {batch} rows: raise program.sync_sgd.batch_size, "
                "which is the whole step's, or ask for fewer processes"
            )

    def shared(self, nodes: int, rows: int | None = None) -> FederatedDataset:
        """So many rows (all by default) dealt out evenly among so many nodes, the sizes differing by at most one.

        Where there are more nodes than rows, rows are given out again from the first on: one a node.
        """
        rows = self.rows if rows is None else rows
        index = self.index[:rows] if rows >= nodes else self.index[torch.arange(nodes) % rows]
        return self._divided(index, torch.arange(nodes + 1) * len(index) // nodes)

    def dealt(self, sizes: Sequence[int]) -> FederatedDataset:
        """So many rows for each node, given out again from the first on where there are not as many."""
        offsets = torch.tensor([0, *sizes]).cumsum(0)
        return self._divided(self.index[torch.arange(int(offsets[-1])) % self.rows], offsets)

    def _divided(self, index: torch.Tensor, offsets: torch.Tensor) -> FederatedDataset:
        # Not the file's FederatedDataset with other offsets: what it has looked up once does not hold any more.
        return FederatedDataset(
            self.data.x, self.data.y, index, offsets, self.data.test_x, self.data.test_y, self.data.classes,
            name=self.data.name,
        )  # fmt: skip

    def sized(self, rounds: int, nodes: int, of: int = 1) -> SyncSGD | FedAvg:
        """The program for so many rounds, when ``nodes`` share a batch and the job is 1/``of`` of the whole."""
        program = replace(self.program, rounds=rounds, cohort=Fraction(1.0))
        if isinstance(program, SyncSGD) and program.batch_size is not None:
            return replace(program, batch_size=max(1, program.batch_size // max(nodes, of)))
        return program

    def job(self, nodes: int) -> Job:
        """What each of so many nodes computes in a round."""
        program = self.sized(1, nodes)
        return Gradient(program.batch_size) if isinstance(program, SyncSGD) else program.job(0)


def subject(experiment: Experiment) -> Subject:
    """Load an experiment. Errors: ``BadInput`` for a program whose work cannot be shared out; what is wrong with data
    and model has its place in the file.
    """
    program: Any = experiment.program
    if not isinstance(program, SyncSGD | FedAvg):
        raise BadInput(
            f"speed-up is measured with sync_sgd or fedavg, whose nodes compute the same at once, and this file has "
            f"{type(program).__name__}: give it [program.sync_sgd]"
        )
    if isinstance(program, SyncSGD) and program.backup:
        raise BadInput("backup workers compute what is thrown away: set program.sync_sgd.backup = 0")
    data = experiment.data()
    experiment.check(data)
    notes = []
    pooled = data.rows(POOLED).index.unique()  # type: ignore[no-untyped-call]
    order = Key(experiment.seed).child("speed-up").numpy().permutation(len(pooled))
    if experiment.tables.data.split is not None and type(experiment.tables.data.split).__name__ != "IID":
        notes.append(
            "The file's split is not used: all processes get equally many rows, or the largest would be measured."
        )
    return Subject(
        experiment.name, program, experiment.model(data), data, pooled[torch.from_numpy(order)], experiment.seed,
        tuple(notes),
    )  # fmt: skip
