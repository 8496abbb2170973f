"""Adaptive robust clipping: the longest updates are as long as the longest of the others."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from foedus.aggregators.clipping import Clipping
from foedus.aggregators.mean import Mean
from foedus.aggregators.preaggregation import check_then
from foedus.aggregators.rule import Withstands
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator


@dataclass(frozen=True)
class ARC(Withstands, Clipping):
    """The k = floor(2 f (n - f) / n) longest updates are scaled down to the length of the next longest, and ``then``
    joins them; needs n >= 2f + 1.

    Adaptive robust clipping (Allouah et al. 2025, arXiv:2405.14432). The bound follows what nodes send, where a fixed
    one is too long in the end or too short at the beginning. A rule that withstands f nodes still does, and its answer
    is no longer than the longest honest update. ``then`` has an f of its own, the same one usually.

    >>> import torch
    >>> ARC(f=1)(torch.tensor([[3.0, 4.0], [0.0, 1.0], [300.0, -400.0]]))
    tensor([2.0000, 0.3333])

    Errors: ``BadInput`` where all updates are 0: there is no length to scale to, and nothing was learned.
    """

    then: Aggregator = field(default_factory=lambda: Mean(weighted=False))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_then(self.then)

    def most(self, lengths_K: Tensor) -> float:
        n = len(lengths_K)
        if not bool(lengths_K.any()):
            raise BadInput(
                f"{self} scales updates to the length of one of them, and all {n} are 0: nothing was learned, as with "
                "a learning rate of 0 or where gradients vanish; raise lr, or leave out ARC"
            )
        longest = 2 * self.f * (n - self.f) // n
        return float(lengths_K.sort().values[n - 1 - longest])
