"""Sparsification at random: the places need not travel, only the seed they were drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.core.types.transform import Contraction, Sends, Sensitivity, Shape
from foedus.core.types.update import Tensors
from foedus.transforms.per_part import PerPart
from foedus.transforms.top_k import scatter, share

_SEED = "@seed"


@dataclass(frozen=True)
class RandomK(PerPart):
    """Keep a random ``fraction`` of the numbers of every part (at least one): 4 bytes each, and a seed of 8.

    Unbiased: the decoder multiplies by d/k, and the variance is (d/k - 1) ||v||^2. With ``unbiased=False`` it does not,
    and (1 - k/d) of the squared norm is lost on average: the one to use inside ``ErrorFeedback`` (Stich et al. 2018,
    arXiv:1809.07599; Konecny et al. 2016, arXiv:1610.05492).
    """

    fraction: float = 0.01
    unbiased: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise BadInput(f"the fraction that random-k keeps must lie in (0, 1], got {self.fraction}")

    @property
    def sends(self) -> Sends:
        return Sends.SAMPLE

    def sensitivity(self, given: Sensitivity | None) -> Sensitivity | None:
        return given  # what travels is not scaled up yet

    @property
    def gain(self) -> float:
        return 1.0 / self.fraction if self.unbiased else 1.0  # d/k, and k is no less than its share of d

    def kept(self, d: int) -> int:
        """k for a part of d numbers."""
        return share(self.fraction, d)

    def loses(self, d: int) -> Contraction:
        kept = self.kept(d) / d if d else 1.0
        return Contraction(kept, 1.0 / kept - 1.0 if self.unbiased else 0.0)

    def packed(self, d: int, dtype: torch.dtype) -> Mapping[str, Shape]:
        return {"": ((self.kept(d),), dtype), _SEED: ((1,), torch.int64)}

    def pack(self, v_D: Tensor, key: Key) -> Tensors:
        seed = key.integer()
        return {"": v_D[self._places(seed, len(v_D))], _SEED: torch.tensor([seed])}

    def unpack(self, sent: Tensors, d: int) -> Tensor:
        # Scaled here and not by the sender: what travels is no longer than the update, so that a clip's bound holds.
        k = self.kept(d)
        values = sent[""] * (d / k) if self.unbiased and k else sent[""]
        return scatter(values, self._places(int(sent[_SEED]), d), d)

    def _places(self, seed: int, d: int) -> Tensor:
        if not d:
            return torch.empty(0, dtype=torch.int64)
        return torch.from_numpy(Key(seed).numpy().choice(d, self.kept(d), replace=False, shuffle=False))
