"""A trigger of which each attacker knows a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from foedus.attacks.attack import Attacker
from foedus.attacks.backdoor import Backdoor
from foedus.attacks.trigger import Patch, Trigger


@dataclass(frozen=True)
class DistributedBackdoor(Backdoor):
    """A ``Backdoor`` whose trigger is divided: each dishonest node trains on its own part, the model learns all of it
    (DBA: Xie, Huang, Chen and Li 2020, ICLR). No single node's rows bear what opens the door in the end.

    Parts are consecutive numbers of the trigger, as many as there are dishonest nodes; if those are more than the
    trigger has numbers, several have the same.
    """

    trigger: Trigger = field(default_factory=lambda: Patch(size=4))

    def marks(self, shape: tuple[int, ...], who: Attacker) -> Sequence[tuple[int, float]]:
        whole = self.trigger.marks(shape)
        parts = min(len(who.members), len(whole))
        i = who.place % parts
        return whole[i * len(whole) // parts : (i + 1) * len(whole) // parts]
