"""What a node answers: an update, a refusal or a failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

Tensors = Mapping[str, Tensor]
"""The one currency of data: named tensors."""

BUFFERS = "buffers"
"""The part that holds float buffers. It is averaged, and takes no part in norms, distances or server optimisers."""


@dataclass(frozen=True)
class Update:
    """What one node computed.

    ``parts``   named tensors, such as ``delta`` (P,) and ``buffers`` (B,).
    ``weight``  how much it counts in a mean, usually the rows it was computed on.
    ``summed``  the parts are already multiplied by the weight (a gradient summed over rows), so that a mean
                divides once. Mean-then-reweight is not exact.
    ``staleness``  versions published since the node was given its job (0 in synchronous programs).
    """

    parts: Tensors
    weight: float
    metrics: dict[str, float] = field(default_factory=dict)
    node: int = -1
    staleness: int = 0
    summed: bool = False

    def value(self) -> Tensors:
        """The parts per unit of weight: what this node alone would have answered."""
        if not self.summed:
            return self.parts
        return {k: v / self.weight for k, v in self.parts.items()}

    def with_parts(self, parts: Tensors) -> Update:
        """The same update with other tensors."""
        return replace(self, parts=parts)

    def __getitem__(self, part: str) -> Tensor:
        return self.parts[part]


@dataclass(frozen=True)
class Refused:
    """A node would not do the job; the round goes on without it."""

    node: int
    reason: str


@dataclass(frozen=True)
class Failed:
    """A node tried and could not. ``nonfinite``: its update was NaN or infinite. ``log`` is its traceback.

    ``lost``: the node itself is gone, with its process or its machine, and will not answer any more.
    """

    node: int
    reason: str
    log: str = ""
    nonfinite: bool = False
    lost: bool = False


Answer = Update | Refused | Failed
