"""The gradient of the loss on a node's rows: the map step of synchronous gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState, NodeView, Work
from foedus.core.types.model import Model
from foedus.core.types.update import BUFFERS, Tensors, Update


@dataclass(frozen=True)
class Gradient:
    """The gradient at ``args["w"]``, *summed* over rows; its weight is their number, so that a mean divides once.

    ``batch_size`` rows drawn afresh without replacement, or all of them (``None``). The sum over a batch is scaled up
    to all the node's rows, so that the mean over unequal nodes estimates the gradient of the union without bias.
    Answers ``gradient`` (P,) and, if the model has float buffers, ``buffers`` (B,).
    """

    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise BadInput(f"batch_size must be at least 1, or None for the full batch; got {self.batch_size}")

    def work(self, rows: int) -> Work:
        return Work(trained=self.smallest_batch(rows))

    def smallest_batch(self, rows: int) -> int:
        """Rows of its only batch, at a node with so many."""
        return rows if self.batch_size is None else min(rows, self.batch_size)

    def most_weight(self, rows: int) -> float:
        """The most that its answer weighs: the node's rows."""
        return float(rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return model.layout.answer("gradient")

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        model, w = node.model, args["w"]
        model.load(w)
        model.training()
        positions = None
        if self.batch_size is not None and self.batch_size < len(node.rows):
            drawn = node.key.child("batch").numpy().choice(len(node.rows), self.batch_size, replace=False)
            positions = torch.from_numpy(drawn)
        x, y = node.rows.batch(positions)
        loss = model.summed_loss(x, y)
        rows = len(node.rows)
        gradient = torch.cat([g.reshape(-1) for g in model.gradients(loss)])
        if positions is not None:
            gradient.mul_(rows / len(y))
        parts = {"gradient": gradient}
        if model.layout.buffers:
            parts[BUFFERS] = model.take_difference(w)[BUFFERS] * rows
        return Update(parts, rows, {"loss": loss.item() / len(y)}, node.id, summed=True), node.state
