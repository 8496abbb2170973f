"""Half precision: two bytes a number."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.transform import Contraction, Identity, Shapes, holds_numbers
from foedus.core.types.update import Update

_TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Cast(Identity):
    """Send numbers as ``"float16"`` (11 significant bits, up to 65,504) or ``"bfloat16"`` (8, up to 3.4e38).

    Rounds to nearest. A number beyond the largest becomes the largest: it saturates, and never becomes infinite. What
    is cast is the update's value, the mean over its rows, so that a sum over many rows saturates no sooner.
    """

    dtype: str = "float16"

    def __post_init__(self) -> None:
        if self.dtype not in _TYPES:
            raise BadInput(f"unknown type {self.dtype!r}: use {' or '.join(map(repr, _TYPES))}")

    def contraction(self, shapes: Shapes) -> Contraction | None:
        return Contraction(1.0 - (torch.finfo(_TYPES[self.dtype]).eps / 2) ** 2, each=True)

    def wire(self, shapes: Shapes) -> Shapes:
        half = _TYPES[self.dtype]
        return {k: (shape, half if holds_numbers(k, dtype) else dtype) for k, (shape, dtype) in shapes.items()}

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        half, rows = _TYPES[self.dtype], _rows(u)
        largest = torch.finfo(half).max
        parts = {
            k: (v / rows).clamp(-largest, largest).to(half) if holds_numbers(k, v.dtype) else v
            for k, v in u.parts.items()
        }
        return u.with_parts(parts), state

    def decode(self, u: Update, shapes: Shapes) -> Update:
        rows = _rows(u)
        parts = {k: u[k].to(dtype) * rows if holds_numbers(k, dtype) else u[k] for k, (_, dtype) in shapes.items()}
        return u.with_parts(parts)


def _rows(u: Update) -> float:
    """What the parts are multiplied by, if they are a sum."""
    return u.weight if u.summed and u.weight > 0 else 1.0
