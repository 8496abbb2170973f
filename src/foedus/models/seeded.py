"""Networks whose first weights depend on a seed and on nothing else; what their builders check."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import nn

from foedus.core.errors import BadInput
from foedus.core.types import torch_process
from foedus.core.types.keys import Key


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """What ``build`` makes when torch's generator starts from this seed; the generator is afterwards as it was."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise BadInput(f"seed must be an integer, got {seed!r}")
    with torch_process.seeded(Key(seed).child("first weights").integer()):
        return build()


def check_width(what: str, value: int) -> int:
    """The value, if it is a positive integer; or ``BadInput``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(f"{what} must be a positive integer, got {value!r}")
    return value


def image_shape(what: str, inputs: int | Sequence[int], smallest: int) -> tuple[int, int, int]:
    """(channels, height, width) from that, or from the number of pixels of a flat, square, grey image.

    Errors: ``BadInput`` for any other shape, or for an image that is smaller than ``smallest`` in height or width.
    """
    shape = inputs
    if isinstance(inputs, int):
        side = math.isqrt(max(0, inputs))
        if side * side != inputs:
            raise BadInput(
                f"{what}: {inputs} pixels are no square grey image: give the shape, (channels, height, width)"
            )
        shape = (1, side, side)
    if isinstance(shape, str) or not isinstance(shape, Sequence) or len(shape) != 3:
        raise BadInput(f"{what} must be (channels, height, width), such as (3, 32, 32), got {inputs!r}")
    channels, height, width = shape
    check_width(f"{what}: channels", channels)
    check_width(f"{what}: height", height)
    check_width(f"{what}: width", width)
    if min(height, width) < smallest:
        raise BadInput(f"{what}: images need at least {smallest} x {smallest} pixels, got {height} x {width}")
    return channels, height, width
