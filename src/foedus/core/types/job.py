"""Jobs: what a node is asked to compute. A job travels as data, never as code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from foedus.core.types.keys import Key
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update

NodeState = Tensors
"""What a node remembers between its jobs: control variates, residuals, personal layers."""


Parts = Mapping[str, tuple[int, ...] | tuple[tuple[int, ...], torch.dtype]]
"""Names and shapes of an answer's tensors, float32 unless ``(shape, dtype)`` says otherwise."""


@dataclass(frozen=True)
class Work:
    """How much a job computes, known before it runs: the virtual clock needs it.

    ``trained``    rows passed forward and backward.
    ``evaluated``  rows passed forward only.
    """

    trained: float = 0.0
    evaluated: float = 0.0

    @property
    def samples(self) -> float:
        """Rows, where a row that is only evaluated counts a third (forward is 1 of forward + 2 backward)."""
        return self.trained + self.evaluated / 3.0


class Rows(Protocol):
    """The rows of one node. Batches are gathered into fresh, aligned memory, never views of the data."""

    def __len__(self) -> int: ...

    @property
    def in_memory(self) -> bool:
        """Whether inputs are the same whenever they are asked for; else they may be augmented, and cost a read."""
        ...

    def batch(self, positions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``(x, y)`` of the rows at these positions (int64, 0 .. len-1), or of all rows in order."""
        ...


@dataclass
class NodeView:
    """All that a job may touch at a node: its rows, the resident model, its own state and its own randomness.

    ``held_out``: the rows that the node keeps from training, or None where the data set has no such rows.
    ``unit``: of a measurement, what 1 in each target (K,) is in its own unit; None where targets are not scaled.
    """

    id: int
    rows: Rows
    model: Model
    state: NodeState
    key: Key
    held_out: Rows | None = None
    unit: Tensor | None = None


@runtime_checkable
class Job(Protocol):
    """A frozen dataclass that computes an update at a node.

    It may be called on any worker, so that everything it needs is in its fields, ``args`` and the node's view.
    The node state it returns takes effect only if its answer is accepted.

    A job may say ``most_weight(rows) -> float``, the most that an answer of a node with so many rows can weigh. The
    coordinator does not take one that weighs more: what a node says of its rows must not buy it the mean.
    """

    def work(self, rows: int) -> Work:
        """The cost of this job on a node with that many rows."""
        ...

    def parts(self, model: Model) -> Parts:
        """Names and shapes of the tensors that the answer will hold, known before it runs."""
        ...

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]: ...
