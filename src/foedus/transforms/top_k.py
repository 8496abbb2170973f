"""Sparsification: send the largest numbers and their places."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from foedus.core.errors import BadInput
from foedus.core.job import NodeState
from foedus.core.keys import Key
from foedus.core.transform import Plain, Shapes
from foedus.core.update import BUFFERS, Update

_PLACES = "@places"


@dataclass(frozen=True)
class TopK(Plain):
    """Keep the largest ``fraction`` of the numbers of every part by absolute value (at least one): 8 bytes each.

    Loses at most (1 - k/d) of the squared norm (Stich et al. 2018, arXiv:1809.07599). Biased: wrap it in
    ``ErrorFeedback`` unless you know why not.
    """

    fraction: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise BadInput(f"the fraction that top-k keeps must lie in (0, 1], got {self.fraction}")

    def kept(self, d: int) -> int:
        """k for a part of d numbers."""
        return min(d, max(1, math.ceil(self.fraction * d)))

    def wire(self, shapes: Shapes) -> Shapes:
        out = {}
        for name, (shape, dtype) in shapes.items():
            if name == BUFFERS:
                out[name] = (shape, dtype)
            else:
                k = self.kept(math.prod(shape))
                out[name] = ((k,), dtype)
                out[name + _PLACES] = ((k,), torch.int32)
        return out

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        parts = {}
        for name, v in u.parts.items():
            if name == BUFFERS:
                parts[name] = v
                continue
            flat = v.reshape(-1)
            places = torch.topk(flat.abs(), self.kept(flat.numel()), sorted=False).indices.sort().values
            parts[name] = flat[places]
            parts[name + _PLACES] = places.to(torch.int32)
        return u.with_parts(parts), state

    def decode(self, u: Update, shapes: Shapes) -> Update:
        parts = {}
        for name, (shape, dtype) in shapes.items():
            if name == BUFFERS:
                parts[name] = u[name]
                continue
            dense = torch.zeros(math.prod(shape), dtype=dtype)
            dense[u[name + _PLACES].long()] = u[name]
            parts[name] = dense.view(shape)
        return u.with_parts(parts)
