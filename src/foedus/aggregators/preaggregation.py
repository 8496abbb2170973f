"""PreAggregation: what is done to updates before another rule joins them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from foedus.aggregators.gram import combined
from foedus.aggregators.rule import Joined, Rule
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator, fold
from foedus.core.types.update import Update


class Before(Rule):
    """Base of rules that make something else of the updates, and let their field ``then`` join that. They need what
    ``then`` needs, too.
    """

    then: Aggregator

    def require(self, finite: int, all: int) -> None:
        super().require(finite, all)
        if isinstance(self.then, Rule):
            self.then.require(finite, all)


class PreAggregation(Before):
    """Base of rules that put linear combinations of the updates in their place, and let ``then`` join these.

    A subclass is a frozen dataclass with a field ``then`` and ``weights``. It makes one stack more; ``then`` reads it.
    """

    def weights(self, u_KD: Tensor, state: Any) -> tuple[Tensor, Any]:
        """How much each update counts in what takes its place: (L, K), from 0 up; and what is remembered now."""
        raise NotImplementedError

    def remembers(self) -> Any:
        """What ``weights`` remembers before the first call."""
        return None

    def mix(self, u_KD: Tensor) -> Tensor:
        """What takes the place of the updates: (L, D)."""
        return combined(self.weights(u_KD, self.remembers())[0], u_KD)

    def begin(self, d: int) -> Any:
        state = {"own": self.remembers(), "then": begin_then(self.then, d)}
        return None if all(s is None for s in state.values()) else state

    def step(self, u_KD: Tensor, nodes: Sequence[int], state: Any) -> tuple[Joined, Any]:
        own, then = (None, None) if state is None else (state["own"], state["then"])
        m_LK, own = self.weights(u_KD, own)
        mixed = nodes if len(m_LK) == len(nodes) else range(len(m_LK))
        reduced, then = step_then(self.then, combined(m_LK, u_KD), mixed, then)

        def left_out() -> Tensor:
            # What is left of a node is what is left of all that it is part of, against the node with most left.
            left_K = (1 - reduced.left_out()).to(m_LK.dtype) @ m_LK
            return 1 - left_K / left_K.max().clamp(min=torch.finfo(left_K.dtype).tiny)

        return Joined(reduced.u_D, left_out), None if state is None else {"own": own, "then": then}


def check_then(then: Any) -> None:
    """Errors: ``BadInput`` unless it is an aggregator."""
    if isinstance(then, type) or not isinstance(then, Aggregator):
        raise BadInput(f"then, what joins the updates afterwards, must be an aggregator such as Median(); got {then!r}")


def begin_then(then: Aggregator, d: int) -> Any:
    """What ``then`` remembers of vectors with D numbers before the first call."""
    return then.begin(d) if isinstance(then, Rule) else then.init({"u": ((d,), torch.float32)})


def step_then(then: Aggregator, u_KD: Tensor, nodes: Sequence[int], state: Any) -> tuple[Joined, Any]:
    """What ``then`` makes of a stack, and what it remembers now. An aggregator that is no rule leaves nobody out."""
    if isinstance(then, Rule):
        return then.step(u_KD, nodes, state)
    total, after = fold(then, [Update({"u": u}, 1.0, node=n) for u, n in zip(u_KD, nodes, strict=True)], state)
    return Joined(total["u"], torch.zeros(len(u_KD), dtype=torch.float64)), after
