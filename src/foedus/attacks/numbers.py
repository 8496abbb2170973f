"""The numbers of an update as one vector, which attacks change, and back.

What attacks change is an update's *value*, what it says per unit of weight: a gradient that is summed over rows is
divided by their number first, and multiplied again afterwards. ``buffers``, and what holds no numbers, stay as they
are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foedus.core.types.transform import holds_numbers
from foedus.core.types.update import Tensors, Update


def numbers(parts: Tensors) -> Tensor:
    """All numbers of named tensors as one vector (D,), in the order of the names."""
    flat = [parts[name].reshape(-1) for name in _names(parts)]
    return torch.cat(flat) if flat else torch.zeros(0)


def with_numbers(parts: Tensors, vector_D: Tensor) -> dict[str, Tensor]:
    """The same tensors with these numbers in the place of their own."""
    made, at = dict(parts), 0
    for name in _names(parts):
        old = parts[name]
        made[name] = vector_D[at : at + old.numel()].to(old.dtype).view(old.shape)
        at += old.numel()
    return made


def value(u: Update) -> Tensor:
    """The numbers of an update per unit of weight (D,): a copy."""
    vector_D = numbers(u.parts)
    return vector_D / u.weight if u.summed and u.weight else vector_D


def with_value(u: Update, vector_D: Tensor) -> Update:
    """The same update with these numbers per unit of weight."""
    return u.with_parts(with_numbers(u.parts, vector_D * u.weight if u.summed else vector_D))


def spread(u_KD: Tensor, correction: int) -> Tensor:
    """The standard deviation of every number (D,), dividing by K - correction; none of a single vector."""
    return u_KD.std(0, correction=correction) if len(u_KD) > 1 else torch.zeros_like(u_KD[0])


def _names(parts: Tensors) -> list[str]:
    return sorted(name for name, v in parts.items() if holds_numbers(name, v.dtype))
