"""The opposite of one's own update."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.attacks.on_vector import OnVector, check_positive
from foedus.core.types.keys import Key


@dataclass(frozen=True)
class SignFlip(OnVector):
    """Sends ``-factor`` times its own update: a step uphill (Li et al. 2019, RSA, arXiv:1811.03761).

    ``factor``  with n nodes that answer alike, m of them dishonest, a mean goes uphill where it is above (n - m) / m:
                by default with a fifth of the nodes.

    Without a server it says ``-factor`` times its own model.

    >>> import torch
    >>> SignFlip(factor=2.0)(torch.tensor([1.0, -3.0]))
    tensor([-2.,  6.])
    """

    factor: float = 5.0

    def __post_init__(self) -> None:
        check_positive("factor", self.factor)

    def vector(self, own_D: Tensor, key: Key) -> Tensor:
        return own_D * -self.factor
