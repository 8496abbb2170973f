"""The accumulator of every rule that must see all updates side by side: K x D numbers of memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Callability
from foedus.core.types.transform import Shapes
from foedus.core.types.update import Tensors, Update, finite


class Stack(Callability):
    """Base of coordinate-wise rules: keeps every update, and reads them as one (K, D) matrix a part.

    Weights are ignored: a node that lies about its rows would otherwise buy influence.
    """

    robust: ClassVar[bool] = True

    def empty(self) -> list[Tensors]:
        return []

    def add(self, acc: list[Tensors], u: Update) -> list[Tensors]:
        acc.append(dict(u.value()))
        return acc

    def merge(self, a: list[Tensors], b: list[Tensors]) -> list[Tensors]:
        return a + b

    def init(self, shapes: Shapes) -> None:
        return None

    def least(self) -> int:
        """Fewest updates the rule can do with."""
        return 1

    def reduce(self, u_KD: Tensor) -> Tensor:
        """One vector (D,) from K updates."""
        raise NotImplementedError

    def read(self, acc: list[Tensors], state: Any) -> tuple[Tensors, Any]:
        if not acc:
            return {}, state
        acc = [u for u in acc if all(bool(torch.isfinite(v).all()) for v in u.values())]
        if len(acc) < self.least():
            raise BadInput(f"{self} needs at least {self.least()} finite updates, got {len(acc)}: ask a larger cohort")
        return {k: over_columns(self.reduce, [u[k] for u in acc]) for k in acc[0]}, state


COLUMNS = 65_536
"""Columns reduced at a time, so that sorting works in cache and in little memory."""


def over_columns(reduce: Callable[[Tensor], Tensor], rows: list[Tensor]) -> Tensor:
    """Apply a coordinate-wise rule to K tensors of one shape, some columns at a time.

    Where a rule's own sums overflow, its answer is that in float64: between finite numbers it is finite.
    """
    flat = [r.reshape(-1) for r in rows]
    d = flat[0].numel()

    def reduced(u_KC: Tensor) -> Tensor:
        made = reduce(u_KC)
        if finite({"u": made}):
            return made
        return made.where(torch.isfinite(made), reduce(u_KC.double()).to(made.dtype))

    pieces = [reduced(torch.stack([r[at : at + COLUMNS] for r in flat])) for at in range(0, d, COLUMNS)]
    return (torch.cat(pieces) if pieces else flat[0].clone()).view(rows[0].shape)
