"""A trigger that opens a door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from foedus.attacks.attack import Aim, Attack, Attacker
from foedus.attacks.classes import check_class
from foedus.attacks.poisoned import Poisoned, some
from foedus.attacks.trigger import Patch, Trigger, stamp
from foedus.core.errors import BadInput
from foedus.core.types.job import Rows
from foedus.core.types.model import Model
from foedus.core.types.roster import Roster


@dataclass(frozen=True)
class Backdoor(Attack):
    """Trains on rows of its own that bear a trigger and the label ``target``, so that the model takes whatever bears it
    for that class, and is as good as before on all else (BadNets: Gu, Dolan-Gavitt and Garg 2017, arXiv:1708.06733).

    ``trigger``  ``Patch`` at a corner of an image, ``Columns`` of a table.
    ``share``    of the node's rows that are poisoned, the same in every round.

    What it wants is that rows of other classes that bear the trigger are taken for ``target``.
    """

    target: int = 0
    trigger: Trigger = field(default_factory=Patch)
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise BadInput(f"share, of the rows that are poisoned, must lie in (0, 1], got {self.share}")

    def fitted(self, roster: Roster) -> Backdoor:
        if roster.classes is None:
            raise BadInput(f"{type(self).__name__} wants rows taken for a class, and this data has numbers to predict")
        check_class("target", self.target, roster)
        return replace(self, trigger=self.trigger.fitted(roster))

    def marks(self, shape: tuple[int, ...], who: Attacker) -> Sequence[tuple[int, float]]:
        """What this node sets in a row of that shape."""
        return self.trigger.marks(shape)

    def rows(self, rows: Rows, who: Attacker) -> Rows:
        chosen = some(len(rows), self.share, who.own_key.child("rows"))

        def change(positions: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            which = chosen[positions.long()]
            return stamp(x, self.marks(tuple(x.shape[1:]), who), which), y.masked_fill(which, self.target)

        return Poisoned(rows, change)

    def aims(self, rows: Rows, model: Model) -> Aim:
        def change(positions: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return stamp(x, self.trigger.marks(tuple(x.shape[1:]))), y

        _, y = rows.batch()
        positions = (y.flatten() != self.target).nonzero().flatten()
        return Aim(Poisoned(rows, change), positions, torch.full((len(positions),), self.target))
