"""Sparsification: send the largest numbers and their places."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.core.types.portion import portion
from foedus.core.types.transform import Contraction, Sends, Sensitivity, Shape
from foedus.core.types.update import Tensors
from foedus.transforms.per_part import PerPart

_PLACES = "@places"


@dataclass(frozen=True)
class TopK(PerPart):
    """Keep the largest ``fraction`` of the numbers of every part by absolute value (at least one): 8 bytes each.

    Loses at most (1 - k/d) of the squared norm (Stich et al. 2018, arXiv:1809.07599). Biased: wrap it in
    ``ErrorFeedback`` unless you know why not.
    """

    fraction: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise BadInput(f"the fraction that top-k keeps must lie in (0, 1], got {self.fraction}")

    @property
    def sends(self) -> Sends:
        return Sends.PLACES

    def sensitivity(self, given: Sensitivity | None) -> Sensitivity | None:
        return given  # some of the numbers are no longer than all of them

    def kept(self, d: int) -> int:
        """k for a part of d numbers."""
        return share(self.fraction, d)

    def loses(self, d: int) -> Contraction:
        return Contraction(self.kept(d) / d if d else 1.0)

    def packed(self, d: int, dtype: torch.dtype) -> Mapping[str, Shape]:
        k = self.kept(d)
        return {"": ((k,), dtype), _PLACES: ((k,), torch.int32)}

    def pack(self, v_D: Tensor, key: Key) -> Tensors:
        places = torch.topk(v_D.abs(), self.kept(len(v_D)), sorted=False).indices.sort().values
        return {"": v_D[places], _PLACES: places.to(torch.int32)}

    def unpack(self, sent: Tensors, d: int) -> Tensor:
        return scatter(sent[""], sent[_PLACES].long(), d)


def share(fraction: float, d: int) -> int:
    """How many of d numbers a fraction of them is: at least one."""
    return min(d, max(1, math.ceil(portion(fraction, d))))


def scatter(values_K: Tensor, places_K: Tensor, d: int) -> Tensor:
    """d numbers: these at these places, zero elsewhere."""
    dense = torch.zeros(d, dtype=values_K.dtype)
    dense[places_K] = values_K
    return dense
