"""Rounding at random, so that the mean of what comes out is what went in."""

from __future__ import annotations

import torch
from torch import Tensor

from foedus.core.types.keys import Key


def round_at_random(x: Tensor, key: Key) -> Tensor:
    """Each number to one of the two whole numbers around it; the nearer, the likelier. A whole number stays."""
    u = torch.from_numpy(key.numpy().random(x.numel(), dtype="float32")).view(x.shape)
    return round_by(x, u)


def round_by(x: Tensor, u: Tensor) -> Tensor:
    """Up where ``u``, uniform on [0, 1), is below the fraction, else down.

    >>> round_by(torch.tensor([1.25, 1.25, 2.0]), torch.tensor([0.1, 0.3, 0.0]))
    tensor([2., 1., 2.])
    """
    down = x.floor()
    return down + (u < x - down)
