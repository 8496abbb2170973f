"""More numbers than were asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F

from foedus.attacks.attack import Attack, Attacker
from foedus.core.errors import BadInput
from foedus.core.types.transform import holds_numbers
from foedus.core.types.update import Update


@dataclass(frozen=True)
class WrongShape(Attack):
    """Sends every part that holds numbers as one row, with so many zeros too many. A coordinator refuses it."""

    more: int = 1

    def __post_init__(self) -> None:
        if self.more < 1:
            raise BadInput(f"more counts the numbers too many, from 1 up; got {self.more}")

    def sends(self, honest: Update, who: Attacker) -> Update:
        numbers = {k: v for k, v in honest.parts.items() if holds_numbers(k, v.dtype)}
        return honest.with_parts(
            {**honest.parts, **{k: F.pad(v.reshape(-1), (0, self.more)) for k, v in numbers.items()}}
        )
