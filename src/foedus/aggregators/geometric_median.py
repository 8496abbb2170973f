"""The geometric median, and its approximation by a few smoothed steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.aggregators.gram import combined, gram, squared_distances
from foedus.aggregators.rule import Joined, Rule
from foedus.core.errors import BadInput

STEPS = 10_000
"""Steps at the most. Some tens do, but where the optimum is almost one of the updates."""

SAMPLE = 4096
"""Coordinates by which the best of the updates is guessed."""

FAR = 1000.0
"""A wrong guess costs digits if it is this many times as far from the best as half of the others, and is made good."""

LEAST_TOLERANCE = 1e-8
"""Below this a sum's excess cannot be told in float64."""


@dataclass(frozen=True)
class GeometricMedian(Rule):
    """The vector whose distances from all updates have the least sum; withstands f of n >= 2f + 1.

    ``tolerance``  when to stop: that sum is then at most this share above the least there is, as its slope certifies.
    ``smoothing``  distances below it count as if squared, as in RFA (Pillutla et al. 2022, arXiv:1912.13445); 0: not.

    Weiszfeld's iteration (1937), from the best of the updates on, as Vardi and Zhang have it (2000,
    doi:10.1073/pnas.97.4.1423), so that an optimum at an update is found at once. All iterates are convex combinations
    of the updates: the iteration sees K x K inner products, and the long vectors are read before and after it. If
    several updates are optimal (an even number on one line), their mean. Ignores weights. Of a node it says how much
    less it counts than the one that counts most.

    >>> GeometricMedian()(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 9.0]]))
    tensor([0.5000, 0.8122])
    """

    tolerance: float = 1e-7
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not LEAST_TOLERANCE <= self.tolerance < 1:
            raise BadInput(
                f"tolerance, a share of the sum of distances, must be below 1 and from {LEAST_TOLERANCE} up; "
                f"got {self.tolerance}"
            )
        _check_smoothing(self.smoothing)

    @property
    def breakdown(self) -> str:
        return "n >= 2f + 1"

    def reduce(self, u_KD: Tensor) -> Joined:
        b_KK, far_KK, best_K = _about_the_best(u_KD)
        optimal = [] if self.smoothing else [j for j in best_K.tolist() if _slope_at(j, b_KK, far_KK) <= self.tolerance]
        if optimal:
            c_K = torch.zeros(len(u_KD), dtype=torch.float64)
            c_K[far_KK[optimal].eq(0).any(0)] = 1.0
            return _weighted(u_KD, c_K / c_K.sum())
        return _weighted(u_KD, _minimum(b_KK, int(best_K[0]), self.smoothing, self.tolerance))


@dataclass(frozen=True)
class RFA(Rule):
    """Some steps of smoothed Weiszfeld from the mean: robust federated averaging; withstands f of n >= 2f + 1.

    Pillutla et al. 2022 (arXiv:1912.13445, algorithm 2, whose three steps are the default). ``smoothing`` is the least
    distance that is divided by. Where dishonest updates are far off, so is the mean, and three steps are on the way
    back: ``GeometricMedian`` is where they lead. Ignores weights.

    >>> RFA()(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 9.0]]))
    tensor([0.5000, 0.8375])
    """

    steps: int = 3
    smoothing: float = 1e-6

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise BadInput(f"steps must be a whole number from 1 up; got {self.steps!r}")
        _check_smoothing(self.smoothing)

    @property
    def breakdown(self) -> str:
        return "n >= 2f + 1"

    def reduce(self, u_KD: Tensor) -> Joined:
        k = len(u_KD)
        b_KK, _, _ = _about_the_best(u_KD)
        c_K = torch.full((k,), 1 / k, dtype=torch.float64)
        for _ in range(self.steps):
            w_K = _pulls(b_KK, c_K, self.smoothing)
            c_K = w_K / w_K.sum()
        return _weighted(u_KD, c_K)


def _check_smoothing(smoothing: float) -> None:
    if not 0 <= smoothing < math.inf:
        raise BadInput(f"smoothing, a distance, must be finite and from 0 up; got {smoothing}")


def _weighted(u_KD: Tensor, c_K: Tensor) -> Joined:
    return Joined(combined(c_K[None], u_KD)[0], 1 - c_K / c_K.max())


def _about_the_best(u_KD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inner products about the best update, all distances, and the updates that are as good, the best one first.

    The best are those whose distances from all have the least sum: an optimum that is an update is among them. Seen
    from there, no other update is so far that it costs the rest their digits.
    """
    # Which one that is, is guessed by some coordinates, so that the whole stack is read once.
    some_KC = u_KD[:, :SAMPLE].double()
    guess = int(_best(squared_distances(some_KC).sqrt_())[0])
    b_KK = gram(u_KD, about=guess, wide=True)
    far_KK = squared_distances(u_KD, b_KK).sqrt_()
    best_K = _best(far_KK)
    best = int(best_K[0])
    if b_KK[best, best] > FAR**2 * far_KK[best].median() ** 2:
        return gram(u_KD, about=best, wide=True), far_KK, best_K
    return _about(b_KK, best), far_KK, best_K


def _best(far_KK: Tensor) -> Tensor:
    """The updates whose distances from all have the least sum, to what rounding lets tell."""
    sum_K = far_KK.sum(1)
    return torch.nonzero(sum_K <= sum_K.min() * (1 + 1e-5)).flatten()


def _about(b_KK: Tensor, j: int) -> Tensor:
    """Inner products about another update."""
    about_KK = b_KK - b_KK[j] - b_KK[:, j, None] + b_KK[j, j]
    about_KK[j], about_KK[:, j] = 0.0, 0.0
    return about_KK


def _slope_at(j: int, b_KK: Tensor, far_KK: Tensor) -> float:
    """How much, at most, the sum of distances is above the least there is, as a share of it, at update j."""
    same_K = far_KK[j] == 0
    b_KK = _about(b_KK, j)
    pull_K = (1 / b_KK.diagonal().clamp(min=0).sqrt()).masked_fill(same_K, 0)
    slope = math.sqrt(max(0.0, float(pull_K @ b_KK @ pull_K)))
    return _excess(slope - int(same_K.sum()), len(b_KK))


def _excess(slope: float, k: int) -> float:
    """A convex sum is above its minimum by at most its slope times the way there.

    Which is at most twice the mean distance from the updates, here as from there.
    """
    return 2 * max(0.0, slope) / k


def _pulls(b_KK: Tensor, c_K: Tensor, smoothing: float) -> Tensor:
    """One over the distance of each update from a combination of all, by inner products about one of them: (K,)."""
    bc_K = b_KK @ c_K
    far_K = (b_KK.diagonal() - 2 * bc_K + c_K @ bc_K).clamp(min=0).sqrt()
    return 1 / far_K.clamp(min=max(smoothing, 1e-150))


def _minimum(b_KK: Tensor, start: int, smoothing: float, tolerance: float) -> Tensor:
    """The combination with the least sum of distances, by Weiszfeld's steps down from an update that is not it."""
    k = len(b_KK)
    c_K = torch.zeros(k, dtype=torch.float64)
    c_K[start] = 1.0
    if not smoothing:
        c_K = _off(b_KK, start)
    for _ in range(STEPS):
        w_K = _pulls(b_KK, c_K, smoothing)
        slope_K = w_K.sum() * c_K - w_K
        if _excess(math.sqrt(max(0.0, float(slope_K @ b_KK @ slope_K))), k) <= tolerance:
            break
        c_K = w_K / w_K.sum()
    return c_K


def _off(b_KK: Tensor, start: int) -> Tensor:
    """The step down from an update that is not optimal, to which its own distance of 0 would hold for ever."""
    same_K = b_KK.diagonal() == 0  # inner products are about it
    pull_K = (1 / b_KK.diagonal().sqrt()).masked_fill(same_K, 0)
    held = int(same_K.sum()) / math.sqrt(float(pull_K @ b_KK @ pull_K))
    c_K = (1 - held) * pull_K / pull_K.sum()
    c_K[start] = held
    return c_K
