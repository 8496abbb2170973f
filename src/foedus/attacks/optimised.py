"""The strength of an attack, searched against the rule in use."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from foedus.attacks.alie import ALIE
from foedus.attacks.colluding import Known, OneVector
from foedus.attacks.directed import Directed
from foedus.core.errors import BadInput


@dataclass(frozen=True)
class Optimised(OneVector):
    """Sends what ``attack`` would at the strength that moves the rule in use furthest from the mean of the honest
    updates (as in Shejwalkar and Houmansadr 2021, section IV, and in ByzFL's optimal attacks).

    ``attack``       one along a line: ``IPM``, ``ALIE``, ``MinMax``, ``MinSum``.
    ``evaluations``  how often the rule is tried. Each costs what the rule costs.

    The search begins at the attack's own strength (1 where that is 0), so that it is never weaker. It doubles its step
    as long as that does more harm, and halves it when neither side does; strengths are not negative. The rule is tried
    as it begins, without what it remembers of earlier rounds; without a rule (a stream) the strength is the attack's.
    """

    attack: Directed = field(default_factory=ALIE)
    evaluations: int = 20

    def __post_init__(self) -> None:
        if not isinstance(self.attack, Directed):
            raise BadInput(f"attack must be one with a strength, such as ALIE() or IPM(); got {self.attack!r}")
        if self.evaluations < 2:
            raise BadInput(f"a search needs at least 2 evaluations, got {self.evaluations}")

    @property
    def knows(self) -> str:  # type: ignore[override]
        """What its attack does."""
        return self.attack.knows

    def vector(self, known: Known) -> Tensor:
        attack = self.attack
        own = attack.strength(known)
        if known.harm is None:
            return attack.at(known, own)
        start_D, way_D = attack.start(known.seen_KD), attack.direction(known.seen_KD)
        best, most = own, known.harm(start_D + own * way_D)
        step, tried = own or 1.0, {best}
        for _ in range(self.evaluations - 1):
            while not (sides := [x for x in (best + step, max(0.0, best - step)) if x not in tried]):
                step /= 2
                if best + step == best:  # no number lies between
                    return start_D + best * way_D
            x = sides[0]
            tried.add(x)
            harm = known.harm(start_D + x * way_D)
            if harm > most:
                best, most, step = x, harm, 2 * step
        return start_D + best * way_D
