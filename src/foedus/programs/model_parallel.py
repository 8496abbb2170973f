"""What programs share whose nodes hold parts of one model: the coordinator's side of every exchange."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from foedus.aggregators.sum import Sum
from foedus.core.advice import Option
from foedus.core.coordination.federation import Federation
from foedus.core.errors import BadInput, NodeFailed
from foedus.core.types.data import POOLED
from foedus.core.types.keys import Key
from foedus.core.types.update import Answer, Update
from foedus.jobs.model_parallel import BackwardPart, CheckPart, CollectPart, ForwardPart, OutputGradient
from foedus.jobs.schedules import Schedule
from foedus.jobs.stages import check_blocks, put_back, share, stages_of


@dataclass(frozen=True)
class ModelParallel:
    """What the programs have in common to set; ``FeatureParallel`` says what each means."""

    rounds: int
    lr: float | Schedule = 0.1
    batch_size: int | None = None
    steps: int = 1
    objective: ClassVar[str] = "rows"

    def __post_init__(self) -> None:
        if not callable(self.lr) and not (math.isfinite(self.lr) and self.lr >= 0):
            raise BadInput(f"lr must be a non-negative number or a schedule, got {self.lr}")
        if self.batch_size is not None and self.batch_size < 1:
            raise BadInput(f"batch_size must be at least 1, or None for the full batch; got {self.batch_size}")
        if self.steps < 1:
            raise BadInput(f"a round has at least one step, got steps={self.steps}")

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from the beginning of the run."""
        return float(self.lr(step)) if callable(self.lr) else self.lr


@dataclass(frozen=True)
class _Seed:
    """A draw of the number from which every node draws the same batch."""

    def draw(self, nodes: int, key: Key) -> tuple[int, ...]:
        return (key.integer(),)


class Team:
    """All nodes together, as one model. Without any one of them there is no model, so a failure ends the run.

    ``lr`` is the learning rate of the gradient that comes along, or None.
    """

    def __init__(self, fed: Federation, batch_size: int | None) -> None:
        self.fed, self.stages = fed, stages_of(fed.layout)
        check_blocks(self.stages, fed.nodes)
        self.rows = min(fed.sizes)
        self.batch = self.rows if batch_size is None else min(batch_size, self.rows)

    async def check(self) -> None:
        """Errors: ``BadInput`` unless the model is a stack of dense layers, and every node has the same rows."""
        found = [_update(a) for a in await self.fed.map(CheckPart(), {}, range(self.fed.nodes))]
        if not all(bool(u["stack"]) for u in found):
            raise BadInput(
                "the model computes something else than dense layers with ReLU between them, and only such a model can "
                "be divided: use linear, logistic or mlp of foedus.models"
            )
        for u in found:
            if not torch.equal(u["rows"], found[0]["rows"]):
                raise BadInput(
                    f"node {u.node} has other rows than node {found[0].node}, or another order; all need the same, as "
                    "the model is what is divided: ",
                    Option("split", "replicated", call="split(Replicated(), nodes=...)"),
                    ", without holdout",
                )

    async def draw(self) -> dict[str, Tensor]:
        """The seed of the next batch, as an argument; nothing, if the batch is all rows."""
        if self.batch == self.rows:
            return {}
        (seed,) = await self.fed.sample(_Seed())
        return {"seed": torch.tensor(seed)}

    async def forward(self, i: int, args: Mapping[str, Tensor], lr: float | None = None) -> Tensor:
        """The output of stage i without its bias (B, C): the sum over the nodes."""
        job = ForwardPart(self.fed.nodes, self.batch, self._share(i), lr, i)
        return (await self.fed.map_reduce(job, args, range(self.fed.nodes), Sum()))["output"]

    async def backward(self, i: int, g_BC: Tensor, lr: float) -> Tensor:
        """The gradient of the input of stage i (B, F), after a step on its parameters."""
        job = BackwardPart(self.fed.nodes, self.batch, self._share(i), lr, i)
        return (await self.fed.map_reduce(job, {"gradient": g_BC}, range(self.fed.nodes), Sum()))["gradient"]

    async def gradient(self, output_BC: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """The gradient of the summed loss at the model's output (B, C). The coordinator has the labels."""
        job = OutputGradient(self.rows, self.batch)
        (answer,) = await self.fed.map(job, {"output": output_BC, **batch}, (POOLED,))
        return _update(answer)["gradient"]

    async def collect(self, w_D: Tensor, args: Mapping[str, Tensor], lr: float | None) -> None:
        """Write every node's part into the dense vector."""
        job = CollectPart(self.fed.nodes, self.batch, self._share(0), lr)
        for answer in await self.fed.map(job, args, range(self.fed.nodes)):
            u = _update(answer)
            put_back(self.stages, w_D, self.fed.nodes, u.node, u["part"])

    def descend(self, bias: Tensor | None, g_BC: Tensor, lr: float) -> None:
        """A step on a bias that stands behind a sum, in place. It is here, and nowhere else."""
        if bias is not None:
            bias.sub_(g_BC.sum(0) / self.batch, alpha=lr)

    def _share(self, i: int) -> float:
        return share(self.stages, self.stages[i], self.fed.nodes)


def _update(answer: Answer) -> Update:
    if not isinstance(answer, Update):
        raise NodeFailed(f"a part of the model is missing: {answer}")
    return answer


def add(sum_BC: Tensor, bias: Tensor | None) -> Tensor:
    """A stage's output: the sum over the nodes, and its bias once."""
    return sum_BC if bias is None else sum_BC + bias
