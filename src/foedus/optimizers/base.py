"""What every server optimiser shares: parameters are stepped, buffers are moved by their mean difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from foedus.core.types.state import State
from foedus.core.types.update import BUFFERS


@runtime_checkable
class ServerOptimizer(Protocol):
    """A frozen dataclass; its moments live in ``State.server``."""

    def init(self, w_D: Tensor) -> Any:
        """Moments for a model vector."""
        ...

    def step(self, s: State, update: Tensor | Mapping[str, Tensor]) -> State:
        """The state after one step.

        ``update`` is an aggregate with the part ``delta`` (and ``buffers``), or ``delta`` alone. The *delta* is the
        direction to move in, the negative of a gradient. An empty aggregate changes nothing.
        """
        ...


class Stepping:
    """Base of server optimisers: subclasses say how a delta moves the parameters."""

    def init(self, w_D: Tensor) -> Any:
        return None

    def move(self, delta_P: Tensor, moments: Any) -> tuple[Tensor, Any]:
        """``(step_P, moments)``: what is added to the parameters."""
        raise NotImplementedError

    def step(self, s: State, update: Tensor | Mapping[str, Tensor]) -> State:
        """The state after one step; see ``ServerOptimizer``."""
        parts = {"delta": update} if isinstance(update, Tensor) else update
        if "delta" not in parts:
            return s
        delta = parts["delta"]
        step_P, moments = self.move(delta, s.server)
        p = len(delta)
        if p == len(s.w):
            w = s.w + step_P
        else:  # parameters first, then float buffers
            buffers = s.w[p:] + parts[BUFFERS] if BUFFERS in parts else s.w[p:]
            w = torch.cat([s.w[:p] + step_P, buffers])
        return s.replace(w=w, server=moments)
