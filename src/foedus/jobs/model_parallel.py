"""Training a part of a model: what a node does that holds all rows and some of the parameters.

A node keeps its part as node state, from one job to the next. It begins with its part of the model's first parameters,
which it knows, so that parameters never travel to a node.

Legend: B rows of a batch, F inputs of a stage, C its outputs, H_k the node's part of what is divided (``stages.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from foedus.core.types.job import NodeState, NodeView, Parts, Work
from foedus.core.types.keys import Key
from foedus.core.types.model import Model, as_input, sum_of
from foedus.core.types.update import Tensors, Update
from foedus.jobs.stages import Stage, blocks, largest, output_biases, stages_of

FORWARD, BACKWARD = 1 / 3, 2 / 3
"""What a pass costs, in rows that are trained on."""


def batch_positions(seed: int, rows: int, batch: int) -> Tensor | None:
    """The rows (B,) that this seed draws, without replacement; None for all of them in order."""
    if batch >= rows:
        return None
    return torch.from_numpy(Key(seed).numpy().choice(rows, batch, replace=False))


@dataclass(frozen=True)
class CheckPart:
    """Whether model parallelism can work: is the model the stack that its parameters look like, on which rows?

    Answers ``stack``, whether the model computes what dense layers with ReLU between them compute (in training mode, so
    that dropout shows), and ``rows``, a number that depends on the labels of all rows and their order.
    """

    def work(self, rows: int) -> Work:
        return Work(evaluated=2)

    def parts(self, model: Model) -> Parts:
        return {"stack": ((), torch.bool), "rows": ((), torch.int64)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        digest = hashlib.blake2b(digest_size=7)
        for at in range(0, len(node.rows), 1000):
            _, y = node.rows.batch(torch.arange(at, min(at + 1000, len(node.rows))))
            digest.update(y.numpy().tobytes())
        model = node.model
        # Any parameters will do but the first ones, which may be zero.
        vector = torch.randn(model.layout.size, generator=node.key.child("parameters").torch())
        model.load(vector)
        model.training()
        x, _ = node.rows.batch(torch.arange(min(2, len(node.rows))))
        with torch.no_grad():
            theirs = model.forward(x)
        mine = _dense(stages_of(model.layout), vector, as_input(x).flatten(1))
        stack = mine is not None and _agree(theirs, mine)
        rows = int.from_bytes(digest.digest(), "little")
        return Update({"stack": torch.tensor(stack), "rows": torch.tensor(rows)}, 1.0, {}, node.id), node.state


def _agree(a: Tensor, b: Tensor) -> bool:
    # On the scale of the largest number: in a deep stack numbers are large, and some of them cancel.
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-4 * a.abs().max())


def _dense(stages: Sequence[Stage], vector_D: Tensor, x_BF: Tensor) -> Tensor | None:
    """The whole stack in one place, as one node that has all of it; None if the rows do not fit its first layer."""
    first = stages[0].column or stages[0].row
    if x_BF.shape[1] != first.inputs or not x_BF.is_floating_point():
        return None
    own = dict(blocks(stages, vector_D, 1, 0))
    for i, bias in enumerate(output_biases(stages, vector_D)):
        summand, _ = _forward(own, i, x_BF)
        x_BF = summand if bias is None else summand + bias
        if i < len(stages) - 1:
            x_BF = x_BF.relu()
    return x_BF


def _forward(own: Tensors, i: int, x_BF: Tensor) -> tuple[Tensor, Tensor]:
    """The node's summand of stage i (B, C), and what stands between its layers (B, H_k)."""
    hidden = F.linear(x_BF, own[f"column{i}"], own.get(f"bias{i}")).relu() if f"column{i}" in own else x_BF
    return F.linear(hidden, own[f"row{i}"]), hidden


@dataclass(frozen=True)
class _Part:
    """``nodes`` hold the model together; a step is on ``batch`` rows. ``share``: see ``stages.share``.

    ``lr``  the learning rate of the gradient that comes as ``args["gradient"]``; None if none comes.
    """

    nodes: int
    batch: int
    share: float
    lr: float | None = None

    def own(self, node: NodeView) -> dict[str, Tensor]:
        """What the node holds: its parameters, and what it keeps of a forward pass."""
        if node.state:
            return dict(node.state)
        first = blocks(stages_of(node.model.layout), node.model.initial, self.nodes, node.id)
        # Contiguous, as they are after a step: a slice's products may differ in the last bit.
        return {name: v.clone(memory_format=torch.contiguous_format) for name, v in first}

    def features(self, node: NodeView, own: Tensors) -> Tensor:
        """The first stage's input of the batch: all features, or the node's own where that stage is divided by them."""
        x, _ = node.rows.batch(own.get("positions"))
        x = as_input(x).flatten(1)
        first = stages_of(node.model.layout)[0]
        return x[:, first.block(self.nodes, node.id)].contiguous() if first.column is None else x

    def settle(self, node: NodeView, own: dict[str, Tensor], args: Tensors) -> None:
        """Take the last step's descent in the first stage, if it is still owed."""
        if self.lr is not None:
            self.descend(own, 0, self.features(node, own), args["gradient"], wanted=False)

    def descend(self, own: dict[str, Tensor], i: int, x_BF: Tensor, g_BC: Tensor, wanted: bool) -> Tensor | None:
        """One step on the parameters of stage i; ``g_BC`` is the gradient of its output, summed over rows.

        Returns the node's summand of the gradient of the stage's input (B, F), if that is ``wanted``.
        """
        column, row = own.get(f"column{i}"), own[f"row{i}"]
        if column is None:
            self._step(own, f"row{i}", g_BC.T @ x_BF)
            return None
        hidden = own.pop(f"hidden{i}")
        g_BH = (g_BC @ row) * (hidden > 0)
        self._step(own, f"row{i}", g_BC.T @ hidden)
        self._step(own, f"column{i}", g_BH.T @ x_BF)
        if f"bias{i}" in own:
            self._step(own, f"bias{i}", g_BH.sum(0))
        return g_BH @ column if wanted else None

    def _step(self, own: dict[str, Tensor], name: str, gradient: Tensor) -> None:
        # Out of place: until this job's answer is accepted, the old state stands. Divided once, as by a mean.
        assert self.lr is not None
        own[name] = torch.sub(own[name], gradient.div_(self.batch), alpha=self.lr)


@dataclass(frozen=True)
class ForwardPart(_Part):
    """The node's summand of the output of a stage: answers ``output`` (B, C).

    The first stage reads the node's rows, a batch drawn from ``args["seed"]`` (all rows without it), the others
    ``args["input"]`` (B, F). Where a gradient comes along, it is that of the step before, and the first stage takes
    that step first: one message carries the end of one step and the beginning of the next.
    """

    stage: int = 0

    def work(self, rows: int) -> Work:
        return Work(trained=self.batch * self.share * (FORWARD if self.lr is None else FORWARD + BACKWARD))

    def parts(self, model: Model) -> Parts:
        return {"output": (self.batch, stages_of(model.layout)[self.stage].row.outputs)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        own, i = self.own(node), self.stage
        if i == 0:
            self.settle(node, own, args)
            own.pop("positions", None)
            if "seed" in args:
                positions = batch_positions(int(args["seed"]), len(node.rows), self.batch)
                if positions is not None:
                    own["positions"] = positions
            x = self.features(node, own)
        else:
            x = own[f"input{i}"] = args["input"].clone()  # arguments are lent for this job, and the state outlives it
        output, hidden = _forward(own, i, x)
        if f"column{i}" in own:
            own[f"hidden{i}"] = hidden
        return Update({"output": output}, 1.0, {}, node.id), own


@dataclass(frozen=True)
class BackwardPart(_Part):
    """A step on the parameters of a stage other than the first, given ``args["gradient"]`` of its output (B, C).

    Answers ``gradient`` (B, F), the node's summand of that of the stage's input.
    """

    stage: int = 1

    def work(self, rows: int) -> Work:
        return Work(trained=self.batch * self.share * BACKWARD)

    def parts(self, model: Model) -> Parts:
        column = stages_of(model.layout)[self.stage].column
        assert column is not None
        return {"gradient": (self.batch, column.inputs)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        own = self.own(node)
        x = own.pop(f"input{self.stage}")
        gradient = self.descend(own, self.stage, x, args["gradient"], wanted=True)
        assert gradient is not None
        return Update({"gradient": gradient}, 1.0, {}, node.id), own


@dataclass(frozen=True)
class CollectPart(_Part):
    """What the node holds after the last step, one tensor after the other: ``part``, filled up to the largest part."""

    def work(self, rows: int) -> Work:
        return Work(trained=self.batch * self.share * BACKWARD)

    def parts(self, model: Model) -> Parts:
        return {"part": (largest(stages_of(model.layout), self.nodes),)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        own = self.own(node)
        self.settle(node, own, args)
        stages = stages_of(node.model.layout)
        own = {name: own[name] for name, _ in blocks(stages, node.model.initial, self.nodes, node.id)}
        part = torch.zeros(largest(stages, self.nodes))
        flat = torch.cat([v.reshape(-1) for v in own.values()])
        part[: len(flat)] = flat
        return Update({"part": part}, 1.0, {}, node.id), own


@dataclass(frozen=True)
class OutputGradient:
    """The gradient of the loss, summed over the batch, at the output of the last stage: for linear models the residual.

    A job for whoever has the labels, on ``rows`` rows. ``args``: ``output`` (B, C), and ``seed`` as in ``ForwardPart``.
    """

    rows: int
    batch: int

    def work(self, rows: int) -> Work:
        return Work()

    def parts(self, model: Model) -> Parts:
        return {"gradient": (self.batch, stages_of(model.layout)[-1].row.outputs)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        positions = batch_positions(int(args["seed"]), self.rows, self.batch) if "seed" in args else None
        _, y = node.rows.batch(torch.arange(self.rows) if positions is None else positions)
        output = args["output"].clone().requires_grad_()
        loss = sum_of(node.model.row_losses(output, y), len(y))
        (gradient,) = torch.autograd.grad(loss, output)
        return Update({"gradient": gradient}, len(y), {"loss": loss.item() / len(y)}, node.id), node.state


__all__ = [
    "BackwardPart", "CheckPart", "CollectPart", "ForwardPart", "OutputGradient", "batch_positions",
]  # fmt: skip
