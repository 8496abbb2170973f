"""One's own update, larger than it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.attacks.numbers import numbers, with_numbers
from foedus.attacks.on_vector import OnVector, check_positive
from foedus.core.types.keys import Key
from foedus.core.types.policy import Said
from foedus.core.types.update import Tensors, Update


@dataclass(frozen=True)
class Scaling(OnVector):
    """Sends ``factor`` times its own update. Without a server it says as many times its difference from the mean of
    what it heard.

    >>> import torch
    >>> Scaling(10.0)(torch.tensor([1.0, -3.0]))
    tensor([ 10., -30.])
    """

    factor: float = 10.0

    def __post_init__(self) -> None:
        check_positive("factor", self.factor)

    def vector(self, own_D: Tensor, key: Key) -> Tensor:
        return own_D * self.factor

    def says(self, said: Said, parts: Tensors, heard: Mapping[int, Tensors]) -> Tensors:
        return further(self.factor, parts, heard)


def scaled(u: Update, factor: float) -> Update:
    """An update ``factor`` times as large."""
    return u.with_parts(with_numbers(u.parts, numbers(u.parts) * factor))


def further(factor: float, parts: Tensors, heard: Mapping[int, Tensors]) -> Tensors:
    """A message whose difference from the mean of those that were heard is ``factor`` times as large."""
    own_D = numbers(parts)
    centre_D = torch.stack([numbers(p) for p in alike(parts, heard).values()] or [own_D]).mean(0)
    return with_numbers(parts, centre_D + factor * (own_D - centre_D))


def alike(parts: Tensors, heard: Mapping[int, Tensors]) -> dict[int, Tensors]:
    """Messages of the same names and shapes as ``parts``, by sender, ascending."""
    shapes = {k: v.shape for k, v in parts.items()}
    return {n: p for n, p in sorted(heard.items()) if {k: v.shape for k, v in p.items()} == shapes}
