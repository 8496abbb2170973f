"""Rows of inputs, whether they lie in memory or are read when asked for."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.core.types.data import Examples


@dataclass(frozen=True, eq=False)
class Part:
    """Some of other inputs: those at ``index`` (int64)."""

    examples: Examples
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def gather(self, index: Tensor) -> Tensor:
        """The inputs at these positions; see ``Examples``."""
        return self.examples.gather(self.index[index])


def take(x: Tensor | Examples, index: Tensor) -> Tensor | Examples:
    """The inputs at these positions, in memory only if they were."""
    return x[index] if isinstance(x, Tensor) else Part(x, index)
