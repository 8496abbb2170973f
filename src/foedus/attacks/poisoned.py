"""Rows that were changed: what a data attack has its node train on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.core.types.job import Rows
from foedus.core.types.keys import Key
from foedus.core.types.portion import portion

Change = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(positions, x, y)`` of a batch, whose memory is its own, to the ``(x, y)`` that stand in its place."""


@dataclass(frozen=True)
class Poisoned:
    """A node's rows as an attack shows them: as many, in the same order, each batch changed by ``change``."""

    honest: Rows
    change: Change

    def __len__(self) -> int:
        return len(self.honest)

    @property
    def in_memory(self) -> bool:
        """Whether the honest ones are."""
        return self.honest.in_memory

    def batch(self, positions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``(x, y)`` of the rows at these positions, or of all rows in order."""
        x, y = self.honest.batch(positions)
        return self.change(torch.arange(len(self.honest)) if positions is None else positions, x, y)


def some(rows: int, share: float, key: Key) -> Tensor:
    """Which of so many rows are poisoned (rows,) bool: that share of them, at least one, drawn by the key."""
    chosen = torch.zeros(rows, dtype=torch.bool)
    chosen[key.choice(rows, min(rows, max(1, round(portion(share, rows)))))] = True
    return chosen
