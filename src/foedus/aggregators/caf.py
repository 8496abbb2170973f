"""A filter that weighs updates down along the direction in which they differ most."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.aggregators.gram import squared_distances
from foedus.aggregators.rule import Joined, Withstands
from foedus.aggregators.spread import about_mean
from foedus.aggregators.weighed import weighed


@dataclass(frozen=True)
class CAF(Withstands):
    """The covariance-bound agnostic filter; needs n >= 2f + 1.

    (Allouah, Guerraoui and Stephan 2025, arXiv:2505.01874.) As long as weights c, all 1 at first, sum to more than n -
    2f: with the mean mu of the updates by these weights and the direction v in which they vary most, c_i <- c_i (1 -
    t_i / max t), where t_i = (v . (u_i - mu))^2. The answer is the mean for which they varied least along v. How much
    honest updates vary need not be known, and the error does not grow with the dimension.

    >>> import torch
    >>> CAF(f=1)(torch.tensor([[1.0, 2.0], [1.0, 4.0], [1.0, 3.0], [-70.0, 80.0]]))
    tensor([1.0000, 3.0047])
    """

    def reduce(self, u_KD: Tensor) -> Joined:
        return weighed(best_weights(squared_distances(u_KD), len(u_KD) - 2 * self.f), u_KD)


def best_weights(d_KK: Tensor, least: float) -> Tensor:
    """The weights (K,) of the filter's answer, float64, by squared distances; they sum to more than ``least``, or are
    all 1.
    """
    c_K = torch.ones(len(d_KK), dtype=torch.float64)
    best_K, smallest = c_K, torch.inf
    while True:
        variance, t_K = along_the_widest(d_KK, c_K)
        if variance < smallest:
            best_K, smallest = c_K, variance
        furthest = t_K.max()
        if furthest == 0:  # those that count are all alike
            return best_K
        c_K = c_K * (1 - t_K / furthest)
        if c_K.sum() <= least:
            return best_K


def along_the_widest(d_KK: Tensor, c_K: Tensor) -> tuple[float, Tensor]:
    """The most that updates with these weights vary along any direction, and each one's squared distance from their
    mean along it (K,), 0 for those that do not count.

    The covariance of n vectors has the eigenvalues of an n x n matrix: with h their inner products about the mean and r
    the square roots of the weights, of r_i h_ij r_j; by its eigenvector a they are h (r a) / sqrt(variance) off.
    """
    share_K = c_K / c_K.sum()
    on = share_K > 0
    h_KK = about_mean(d_KK[on][:, on], share_K[on])
    r_K = share_K[on].sqrt()
    values, vectors = torch.linalg.eigh(r_K[:, None] * h_KK * r_K)
    t_K = torch.zeros_like(c_K)
    variance = float(values[-1])
    if variance <= 0:
        return 0.0, t_K
    t_K[on] = (h_KK @ (r_K * vectors[:, -1])).square() / variance
    return variance, t_K
