"""Momentum that every node keeps itself, of what it sends."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.transform import Identity, Sends, Sensitivity, holds_numbers
from foedus.core.types.update import Update
from foedus.transforms.wrapper import below, under

_MEAN = "mean:"


@dataclass(frozen=True)
class WorkerMomentum(Identity):
    """A node sends the running mean of its updates in place of the last: m <- beta m + (1 - beta) u, and first m = u.

    Honest nodes then differ less from each other, by a factor of about sqrt((1 - beta) / (1 + beta)) in what is noise,
    so that who hides among them has less room; robust rules need it to converge at all (Karimireddy et al. 2021,
    arXiv:2012.10333, algorithm 2; El-Mhamdi et al. 2021, arXiv:2003.00010). The mean is that of ``Update.value()``,
    per unit of weight; ``buffers`` are sent as they are. Costs a vector of state at every node. Before compressors.

    ``beta``  0.9 usually, 0.99 against small steady attacks; 0 changes nothing.
    """

    beta: float = 0.9

    def __post_init__(self) -> None:
        if not (math.isfinite(self.beta) and 0 <= self.beta < 1):
            raise BadInput(f"beta, how much of the mean is kept, must lie in [0, 1); got {self.beta}")

    @property
    def takes(self) -> Sends:
        return Sends.VECTOR  # a mean of numbers that belong to other coordinates every time is none

    def sensitivity(self, given: Sensitivity | None) -> Sensitivity | None:
        return given  # a mean of vectors is no longer than the longest

    def unbounded(self) -> Identity:
        return Identity()  # nobody can see from outside whether a node took a mean

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        before = below(state, _MEAN)
        now = {k: v for k, v in u.value().items() if holds_numbers(k, v.dtype)}
        mean = {k: self.beta * before[k] + (1.0 - self.beta) * v if k in before else v for k, v in now.items()}
        sent = {k: v * u.weight for k, v in mean.items()} if u.summed else mean
        return u.with_parts({**u.parts, **sent}), under(_MEAN, mean)
