"""Networks whose first weights depend on a seed and on nothing else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from foedus.core.errors import BadInput
from foedus.core.keys import Key


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """What ``build`` makes when torch's generator starts from this seed; the generator is afterwards as it was."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise BadInput(f"seed must be an integer, got {seed!r}")
    # Only the CPU's generator is forked and seeded: torch.manual_seed would touch those of every device.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(Key(seed).child("first weights").integer())
        return build()


def check_width(what: str, value: int) -> int:
    """The value, if it is a positive integer; or ``BadInput``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(f"{what} must be a positive integer, got {value!r}")
    return value
