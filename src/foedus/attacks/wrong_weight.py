"""A weight that is a lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

from foedus.attacks.attack import Attack, Attacker
from foedus.core.types.update import Update


@dataclass(frozen=True)
class WrongWeight(Attack):
    """Sends its own update and claims this weight for it. A coordinator that knows the node's rows refuses more than
    these, and whatever is no weight: negative numbers, NaN.
    """

    weight: float = 1e300

    def sends(self, honest: Update, who: Attacker) -> Update:
        return replace(honest, weight=self.weight)
