"""QSGD: numbers rounded at random to a few levels of the norm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.core.types.transform import Contraction, Sends, Shape
from foedus.core.types.update import Tensors
from foedus.transforms.packing import bytes_of, pack_bits, unpack_bits
from foedus.transforms.per_part import PerPart
from foedus.transforms.rounding import round_at_random

_NORMS = "@norms"


@dataclass(frozen=True)
class QSGD(PerPart):
    """Round |v_i| / ||v|| at random to a multiple of 1/``levels``; send the norm, and sign and level in few bits.

    Unbiased, with variance (||v|| / levels)^2 * sum of p_i (1 - p_i), p_i the fraction of levels |v_i| / ||v||: at most
    min(d / levels^2, sqrt(d) / levels) ||v||^2 (Alistarh et al. 2017, arXiv:1610.02132, Lemma 3.1). So that it does not
    grow with the model, ``bucket`` numbers at a time may have a norm of their own (the paper takes 512; None: a part is
    one bucket). 1 + ceil(log2(levels + 1)) bits a number, packed by eights, and 4 bytes a bucket.
    """

    levels: int = 4
    bucket: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.levels < 2**15:
            raise BadInput(f"the levels of QSGD must lie in 1..{2**15 - 1}, got {self.levels}")
        if self.bucket is not None and self.bucket < 1:
            raise BadInput(f"a bucket of QSGD holds at least one number (None: a whole part), got {self.bucket}")

    @property
    def sends(self) -> Sends:
        return Sends.CODE

    @property
    def bits(self) -> int:
        """Of a number: its level with its sign is one of 2 levels + 1 values."""
        return (2 * self.levels).bit_length()

    def loses(self, d: int) -> Contraction:
        b = d if self.bucket is None else min(d, self.bucket)
        omega = min(b / self.levels**2, math.sqrt(b) / self.levels) if b > 1 else 0.0  # one number is its own norm
        return Contraction(1.0 / (1.0 + omega), omega)

    def packed(self, d: int, dtype: torch.dtype) -> Mapping[str, Shape]:
        return {
            "": ((bytes_of(d, self.bits),), torch.uint8),
            _NORMS: ((self._buckets(d),), torch.float32),
        }

    def pack(self, v_D: Tensor, key: Key) -> Tensors:
        rows = self._rows(v_D.float())
        largest = torch.finfo(torch.float32).max  # any scale will do that is no smaller than the numbers
        norms = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64).clamp(max=largest).float()
        levels = round_at_random(rows.abs() / _nonzero(norms)[:, None] * self.levels, key)
        codes = levels.copysign_(rows).add_(self.levels).to(torch.int32 if self.bits > 8 else torch.uint8)
        return {"": pack_bits(codes.view(-1)[: len(v_D)], self.bits), _NORMS: norms}

    def unpack(self, sent: Tensors, d: int) -> Tensor:
        levels = unpack_bits(sent[""], self.bits, d).float().sub_(self.levels)
        rows = self._rows(levels).div(self.levels).mul_(sent[_NORMS][:, None])
        return rows.reshape(-1)[:d]

    def _buckets(self, d: int) -> int:
        return 1 if self.bucket is None else -(-d // self.bucket)

    def _rows(self, v_D: Tensor) -> Tensor:
        """A row a bucket, the last one filled up with zeros."""
        n = self._buckets(len(v_D))
        missing = 0 if self.bucket is None else n * self.bucket - len(v_D)
        return torch.nn.functional.pad(v_D, (0, missing)).view(n, -1) if missing else v_D.view(n, len(v_D) // max(n, 1))


def _nonzero(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 1.0)
