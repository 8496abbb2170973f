"""TernGrad: every number becomes -1, 0 or 1 times the largest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.core.types.keys import Key
from foedus.core.types.transform import Contraction, Sends, Shape
from foedus.core.types.update import Tensors
from foedus.transforms.packing import pack_trits, unpack_trits
from foedus.transforms.per_part import PerPart
from foedus.transforms.rounding import round_at_random

_LARGEST = "@largest"


@dataclass(frozen=True)
class Ternary(PerPart):
    """Send s = max |v| and for each number its sign with probability |v_i| / s, else zero: five numbers a byte.

    Unbiased, with variance sum of |v_i| (s - |v_i|), at most (sqrt(d) - 1) / 2 ||v||^2 (Wen et al. 2017,
    arXiv:1705.07878; its clipping of gradients, which is not unbiased, is left out).
    """

    @property
    def sends(self) -> Sends:
        return Sends.CODE

    def loses(self, d: int) -> Contraction:
        # sum |v_i| (s - |v_i|) / ||v||^2 is largest where all but one of the numbers are s / (1 + sqrt(d)).
        omega = (math.sqrt(max(1, d)) - 1.0) / 2.0
        return Contraction(1.0 / (1.0 + omega), omega)

    def packed(self, d: int, dtype: torch.dtype) -> Mapping[str, Shape]:
        return {"": ((-(-d // 5),), torch.uint8), _LARGEST: ((1,), torch.float32)}

    def pack(self, v_D: Tensor, key: Key) -> Tensors:
        v_D = v_D.float()
        size_D = v_D.abs()
        largest = size_D.max() if len(v_D) else torch.zeros(())
        trits = round_at_random(size_D / torch.where(largest > 0, largest, 1.0), key).copysign_(v_D).add_(1)
        return {"": pack_trits(trits.to(torch.uint8)), _LARGEST: largest.view(1)}

    def unpack(self, sent: Tensors, d: int) -> Tensor:
        return unpack_trits(sent[""], d).float().sub_(1).mul_(sent[_LARGEST])
