"""signSGD: one bit a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.core.types.keys import Key
from foedus.core.types.transform import Contraction, Sends, Shape
from foedus.core.types.update import Tensors
from foedus.transforms.packing import bytes_of, pack_bits, unpack_bits
from foedus.transforms.per_part import PerPart

_SCALE = "@scale"


@dataclass(frozen=True)
class Sign(PerPart):
    """Send the signs, one bit each, and the mean of |v_i|, which they are multiplied by; zero counts as positive.

    Keeps ||v||_1^2 / (d ||v||^2) of the squared norm (Karimireddy et al. 2019, arXiv:1901.09847). Biased: alone it need
    not converge, inside ``ErrorFeedback`` it does. For a vote of the signs see ``MajorityVote``.
    """

    @property
    def sends(self) -> Sends:
        return Sends.CODE

    def loses(self, d: int) -> Contraction:
        return Contraction(1.0 / max(1, d))  # one number that is not zero is the worst

    def packed(self, d: int, dtype: torch.dtype) -> Mapping[str, Shape]:
        return {"": ((bytes_of(d, 1),), torch.uint8), _SCALE: ((1,), torch.float32)}

    def pack(self, v_D: Tensor, key: Key) -> Tensors:
        # In float64, where the sum cannot overflow; a mean is no larger than the largest.
        scale = v_D.abs().sum(dtype=torch.float64) / max(1, len(v_D))
        return {"": pack_bits((v_D >= 0).view(torch.uint8), 1), _SCALE: scale.float().view(1)}

    def unpack(self, sent: Tensors, d: int) -> Tensor:
        return unpack_bits(sent[""], 1, d).float().mul_(2).sub_(1).mul_(sent[_SCALE])
