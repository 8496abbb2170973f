"""Noisy inputs, right labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.attacks.attack import Attack, Attacker
from foedus.attacks.on_vector import check_positive
from foedus.attacks.poisoned import Poisoned
from foedus.core.errors import BadInput
from foedus.core.types.job import Rows
from foedus.core.types.roster import Roster


@dataclass(frozen=True)
class CleanLabelNoise(Attack):
    """Trains on its own rows with normal noise on every input and right labels, which nobody who looks at labels finds.

    ``std``  of the noise, in the units of what the model is given. Every row's is the same whenever it is asked for.
    """

    std: float = 1.0

    def __post_init__(self) -> None:
        check_positive("std", self.std)

    def fitted(self, roster: Roster) -> CleanLabelNoise:
        x, _ = roster.example()
        if x.dtype in (torch.int32, torch.int64):
            raise BadInput("CleanLabelNoise adds noise to numbers, and the rows are tokens: use LabelFlip()")
        return self

    def rows(self, rows: Rows, who: Attacker) -> Rows:
        key = who.own_key.child("noise")
        whole: Tensor | None = None
        if rows.in_memory:  # then there is room for as much noise
            shape = rows.batch(torch.zeros(1, dtype=torch.int64))[0].shape[1:]
            whole = torch.randn((len(rows), *shape), generator=key.torch())

        def noise(positions: Tensor, shape: torch.Size) -> Tensor:
            if whole is not None:
                return whole[positions.long()]
            return torch.stack([torch.randn(shape, generator=key.child(i).torch()) for i in positions.tolist()])

        def change(positions: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            added = self.std * noise(positions, x.shape[1:])
            if x.dtype == torch.uint8:
                return (x + 255 * added).round().clamp(0, 255).to(torch.uint8), y
            return (x + added).to(x.dtype), y

        return Poisoned(rows, change)
