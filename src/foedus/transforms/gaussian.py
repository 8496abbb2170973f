"""Gaussian noise, added at the node."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.transform import (
    LOSSLESS,
    Contraction,
    Identity,
    Mechanism,
    Sends,
    Sensitivity,
    Shapes,
    holds_numbers,
)
from foedus.core.types.update import Update


@dataclass(frozen=True)
class Gaussian(Identity):
    """Add independent normal noise of standard deviation ``std`` to every number of an update's value.

    The noise comes from the operating system's secret random numbers and from nothing else: whoever knows the
    experiment's seed knows nothing of it, and so two runs with this transform never give the same bits. What it hides
    depends on a bound before it (``Clip``), on how often a node is asked, and on ``buffers``, metrics and weights,
    which travel without noise: this is the mechanism, not the account.
    """

    std: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.std) and self.std >= 0):
            raise BadInput(f"the standard deviation of the noise must be a non-negative number, got {self.std}")

    @property
    def takes(self) -> Sends:
        return Sends.SAMPLE  # places that depend on the data would travel without noise

    def mechanisms(self, given: Sensitivity | None) -> tuple[Mechanism, ...]:
        return (Mechanism("gaussian", self.std, "node", given),)

    def contraction(self, shapes: Shapes) -> Contraction | None:
        return LOSSLESS  # besides its noise

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        std = self.std * (u.weight if u.summed else 1.0)
        parts = {
            k: (v.double() + std * _secret_normal(v.numel()).view(v.shape)).to(v.dtype)
            if holds_numbers(k, v.dtype)
            else v
            for k, v in u.parts.items()
        }
        return u.with_parts(parts), state


def _secret_normal(n: int) -> Tensor:
    """n standard normal numbers (n,) float64, by Box and Muller from 53 secret bits each."""
    pairs = -(-n // 2)
    bits = np.frombuffer(os.urandom(16 * pairs), dtype=np.uint64) >> np.uint64(11)
    u = (bits.astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2.0 * np.log(u[:pairs])), 2.0 * np.pi * u[pairs:]
    return torch.from_numpy(np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:n])
