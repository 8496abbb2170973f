"""Attacks along a line: from a point, in a direction, so far.

Legend: K updates that the attack is made from, D numbers of one.
"""

from __future__ import annotations

from torch import Tensor

from foedus.attacks.colluding import Known, OneVector


class Directed(OneVector):
    """Base of attacks that send ``start + strength * direction``; how strong is a number, which can be searched."""

    def start(self, seen_KD: Tensor) -> Tensor:
        """Where it begins (D,): the mean, unless a subclass has it otherwise."""
        return seen_KD.mean(0)

    def direction(self, seen_KD: Tensor) -> Tensor:
        """Where it leads (D,)."""
        raise NotImplementedError

    def strength(self, known: Known) -> float:
        """How far, if nobody searches."""
        raise NotImplementedError

    def at(self, known: Known, strength: float) -> Tensor:
        """What is sent at this strength (D,)."""
        return self.start(known.seen_KD) + strength * self.direction(known.seen_KD)

    def vector(self, known: Known) -> Tensor:
        return self.at(known, self.strength(known))
