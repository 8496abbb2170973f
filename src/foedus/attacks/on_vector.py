"""Base of attacks that make what a node sends from what it would have sent, a vector from a vector.

Legend: D numbers of an update, or of a message of a peer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from foedus.attacks.attack import Attack, Attacker
from foedus.attacks.numbers import numbers, value, with_numbers, with_value
from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.core.types.policy import Said
from foedus.core.types.update import Tensors, Update


class OnVector(Attack):
    """``vector`` makes the one from the other; it is called on an update's value and, without a server, on a message.

    Called on a vector (D,), the attack answers what a node would send that honestly had this.
    """

    speaks = True

    def vector(self, own_D: Tensor, key: Key) -> Tensor:
        """What is sent in place of ``own_D``, which is not changed."""
        raise NotImplementedError

    def __call__(self, own_D: Tensor, key: Key = Key(0)) -> Tensor:
        return self.vector(own_D, key)

    def sends(self, honest: Update, who: Attacker) -> Update:
        return with_value(honest, self.vector(value(honest), who.key))

    def says(self, said: Said, parts: Tensors, heard: Mapping[int, Tensors]) -> Tensors:
        return with_numbers(parts, self.vector(numbers(parts), said.key))


def check_positive(name: str, value: float) -> None:
    """Errors: ``BadInput`` unless it is a positive number."""
    if not (math.isfinite(value) and value > 0):
        raise BadInput(f"{name} must be a positive number, got {value}")
