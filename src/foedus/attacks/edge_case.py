"""Rows that are rare, with wrong labels.

Legend: N rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.attacks.attack import Aim, Attack, Attacker
from foedus.attacks.classes import check_class
from foedus.attacks.poisoned import Poisoned
from foedus.core.errors import BadInput
from foedus.core.types.job import Rows
from foedus.core.types.model import Model, as_input
from foedus.core.types.portion import portion
from foedus.core.types.roster import Roster


@dataclass(frozen=True)
class EdgeCase(Attack):
    """Trains on its own rows, of which those that are least like others of their class bear the label ``target``:
    honest nodes hold few like them that would say otherwise (Wang et al. 2020, arXiv:2007.05084, attack of the tails).

    ``target``  the class that they are to be taken for.
    ``source``  of which class they are; None: any other.
    ``share``   of the rows of these classes: those furthest from their class's mean, by Euclidean distance of inputs.

    The paper brings such rows from elsewhere; here they are the node's own. What it wants is that such rows of a test
    set, found in the same way, are taken for ``target``.
    """

    target: int = 0
    source: int | None = None
    share: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise BadInput(f"share, of the rows at the edge, must lie in (0, 1], got {self.share}")
        if self.source == self.target:
            raise BadInput(f"source and target are both {self.target}: nothing would be learned")

    def fitted(self, roster: Roster) -> EdgeCase:
        if roster.classes is None:
            raise BadInput("EdgeCase wants rows taken for a class, and this data has numbers to predict")
        check_class("target", self.target, roster)
        check_class("source", self.source, roster)
        return self

    def rows(self, rows: Rows, who: Attacker) -> Rows:
        edge = torch.zeros(len(rows), dtype=torch.bool)
        edge[self._edge(rows)] = True

        def change(positions: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return x, y.masked_fill(edge[positions.long()], self.target)

        return Poisoned(rows, change)

    def aims(self, rows: Rows, model: Model) -> Aim:
        positions = self._edge(rows)
        return Aim(rows, positions, torch.full((len(positions),), self.target))

    def _edge(self, rows: Rows) -> Tensor:
        """Positions of the rows at the edge, ascending; of two at the same distance the first."""
        x, y = rows.batch()
        flat, label_N = as_input(x).reshape(len(x), -1).double(), y.flatten().long()
        found = []
        for label in label_N.unique().tolist():  # type: ignore[no-untyped-call]
            if label == self.target or self.source not in (None, label):
                continue
            at = (label_N == label).nonzero().flatten()
            far = (flat[at] - flat[at].mean(0)).square().sum(1).argsort(descending=True, stable=True)
            found.append(at[far[: max(1, round(portion(self.share, len(at))))]])
        return torch.cat(found).sort().values if found else torch.zeros(0, dtype=torch.int64)
