"""Wrong labels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.attacks.attack import Aim, Attack, Attacker
from foedus.attacks.classes import check_class, classes_of
from foedus.attacks.poisoned import Poisoned
from foedus.core.errors import BadInput
from foedus.core.types.job import Rows
from foedus.core.types.model import Model
from foedus.core.types.roster import Roster


@dataclass(frozen=True)
class LabelFlip(Attack):
    """Trains on its own rows with wrong labels (Biggio et al. 2012; Tolpegin et al. 2020, arXiv:2007.08432).

    ``source``, ``target``  rows of the one class become rows of the other. None, both: class c becomes C - 1 - c, and
                            of numbers to predict each is mirrored at the mean of the node's own.

    What it wants is that rows of ``source`` are taken for ``target``.
    """

    source: int | None = None
    target: int | None = None

    def __post_init__(self) -> None:
        if (self.source is None) != (self.target is None):
            raise BadInput(f"a label flip has both source and target, or neither to flip all classes; got {self}")
        if self.source is not None and self.source == self.target:
            raise BadInput(f"source and target are both {self.source}: nothing would be flipped")

    def fitted(self, roster: Roster) -> LabelFlip:
        check_class("source", self.source, roster)
        check_class("target", self.target, roster)
        return self

    def rows(self, rows: Rows, who: Attacker) -> Rows:
        classes = classes_of(rows, who.view.model)
        middle = rows.batch()[1].double().mean(0) if classes is None else None

        def change(positions: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            if middle is not None:
                return x, (2 * middle - y).to(y.dtype)
            if self.source is None:
                return x, (classes or 0) - 1 - y
            return x, y.masked_fill(y == self.source, self.target or 0)

        return Poisoned(rows, change)

    def aims(self, rows: Rows, model: Model) -> Aim | None:
        if self.target is None:
            return None
        _, y = rows.batch()
        positions = y.flatten().eq(self.source or 0).nonzero().flatten()
        return Aim(rows, positions, y.new_full((len(positions),), self.target).long())
