"""The mean of a stack's rows by weights that a rule gives them."""

from __future__ import annotations

from torch import Tensor

from foedus.aggregators.gram import combined
from foedus.aggregators.rule import Joined


def weighed(c_K: Tensor, u_KD: Tensor) -> Joined:
    """The mean by these weights (K,), from 0 up; a row is left out so far as it counts less than that which counts
    most.

    Where none counts, the answer is 0.
    """
    total = float(c_K.sum())
    if total == 0:
        return Joined(u_KD.new_zeros(u_KD.shape[1]), c_K + 1)
    return Joined(combined((c_K / total)[None], u_KD)[0], 1 - c_K / c_K.max())
