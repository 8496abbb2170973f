"""Numbers that are none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from foedus.attacks.on_vector import OnVector
from foedus.core.errors import BadInput
from foedus.core.types.keys import Key

VALUES = {"nan": math.nan, "inf": math.inf}


@dataclass(frozen=True)
class NotFinite(OnVector):
    """Sends NaN, or infinity, for every number: one such answer makes a mean useless."""

    value: Literal["nan", "inf"] = "nan"

    def __post_init__(self) -> None:
        if self.value not in VALUES:
            raise BadInput(f'value is "nan" or "inf", got {self.value!r}')

    def vector(self, own_D: Tensor, key: Key) -> Tensor:
        return torch.full_like(own_D, VALUES[self.value])
