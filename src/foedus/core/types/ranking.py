"""Ranking: rows by score, and what the order of the classes in it is worth.

Legend: N rows, S scores of a row, B groups of rows with like scores.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T", Tensor, np.ndarray)


@functools.cache
def edges() -> Tensor:
    """Where bins of scores end (B - 1,), float64, as log odds: every thousandth of the probability, and beyond the
    first and the last of them every tenth of the log odds, to 1e-12 and 1 - 1e-12.
    """
    p = torch.arange(1, 1000, dtype=torch.float64) / 1000
    middle = torch.log(p / (1 - p))
    tail = torch.arange(1, 208, dtype=torch.float64) / 10 + middle[-1]
    return torch.cat([-tail.flip(0), middle, tail])


def of_class(labels: T, k: int) -> T:
    """Whether each row (N,) counts as positive for the k-th score: by its labels (N, S), or by its class (N,)."""
    return labels[:, k] if labels.ndim > 1 else labels == k


def fall(scores_NS: Tensor, labels: Tensor, edges: Tensor) -> np.ndarray:
    """The bin of each score (N, S), int32, among those that end at these edges; rows of class 1 have the bins after
    those of class 0.
    """
    # NumPy here and below: many nodes have few rows each, and torch takes longer to begin.
    ends, labels_N = edges.numpy(), labels.numpy()
    places: np.ndarray = ends.searchsorted(scores_NS.numpy().astype(np.float64), "right").astype(np.int32)
    positive = labels_N if labels_N.ndim == places.ndim else labels_N[:, None] == np.arange(places.shape[1])
    places += np.int32(len(ends) + 1) * positive
    return places


@dataclass(frozen=True)
class Ranking:
    """Rows by score: groups of like scores, ascending; in each so many rows of class 0 and of class 1 (B,), float64.

    ``scores`` (B,) are log odds: of the rows of a group, or where its bin begins.
    """

    scores: Tensor
    negatives: Tensor
    positives: Tensor

    @staticmethod
    def of(scores_N: Tensor, positive_N: Tensor, weights_N: Tensor | None = None) -> Ranking:
        """Of rows one by one: a group is a score that rows have."""
        found, group = np.unique(scores_N.numpy(), return_inverse=True, equal_nan=False)
        yes = positive_N.numpy().astype(np.float64)
        if weights_N is None:
            no = 1.0 - yes
        else:
            w = weights_N.numpy()
            yes = yes * w
            no = w - yes
        each = (torch.from_numpy(np.bincount(group, some, len(found))) for some in (no, yes))
        return Ranking(torch.from_numpy(found), *each)

    @staticmethod
    def binned(counts_2B: Tensor) -> Ranking:
        """Of a histogram over the bins of ``edges``."""
        begins = torch.cat([torch.tensor([-math.inf], dtype=torch.float64), edges()])
        return Ranking(begins, counts_2B[0], counts_2B[1])

    @cached_property
    def sizes(self) -> tuple[float, float]:
        """Rows of class 0, and of class 1."""
        return float(self.negatives.numpy().sum()), float(self.positives.numpy().sum())

    @property
    def defined(self) -> bool:
        """Whether both classes are there."""
        return all(n > 0 for n in self.sizes)

    @cached_property
    def auc(self) -> float | None:
        """Probability that a row of class 1 scores above one of class 0, ties counting half; None if one is missing.

        The Mann-Whitney statistic (Fawcett 2006, https://doi.org/10.1016/j.patrec.2005.10.010). Bins are ties: it is
        off by at most half the pairs of one class 0 and one class 1 that share a bin.
        """
        if not self.defined:
            return None
        negatives, (n0, n1) = self.negatives.numpy(), self.sizes
        below = negatives.cumsum() - negatives
        return float((self.positives.numpy() * (below + negatives / 2)).sum()) / (n0 * n1)

    @cached_property
    def counted(self) -> tuple[Tensor, Tensor]:
        """Rows of class 0 and of class 1 (B,) that score at least as high as each group."""
        return self.negatives.flip(0).cumsum(0).flip(0), self.positives.flip(0).cumsum(0).flip(0)

    @property
    def average_precision(self) -> float | None:
        """The mean of the precision over the rows of class 1, as scikit-learn has it; None where there are none."""
        if self.sizes[1] <= 0:
            return None
        false, true = self.counted
        precision = true / (false + true).clamp_min(1e-300)
        return float((precision * self.positives).sum()) / self.sizes[1]

    def above(self, threshold: float) -> tuple[float, float]:
        """Rows of class 0 and of class 1 whose probability is at least so much."""
        cut = math.log(threshold / (1 - threshold))
        seen = self.scores.double() >= cut - 1e-9 * max(1.0, abs(cut))
        return float(self.negatives[seen].sum()), float(self.positives[seen].sum())

    def best_at(self, least: float, of_negatives: bool) -> float:
        """The most of class 1 that is found while at least so much of class 0 is left out (``of_negatives``); or the
        other way round. Cuts are between groups.
        """
        n0, n1 = self.sizes
        false, true = self.counted
        zero = torch.zeros(1, dtype=torch.float64)  # a cut above all rows
        left, found = 1 - torch.cat([false, zero]) / n0, torch.cat([true, zero]) / n1
        given, wanted = (left, found) if of_negatives else (found, left)
        return float(wanted[given >= least - 1e-12].max())


def area(scores_N: np.ndarray, positive_N: np.ndarray) -> float | None:
    """``Ranking.auc`` of rows one by one, the same number for less work: of each row of class 1, how many of class 0
    score below, and how many not above.
    """
    negatives, positives = scores_N[~positive_N], scores_N[positive_N]
    pairs = len(negatives) * len(positives)
    if not pairs:
        return None
    negatives.sort()
    below, not_above = negatives.searchsorted(positives, "left"), negatives.searchsorted(positives, "right")
    return int(below.sum() + not_above.sum()) / 2 / pairs


def area_under_roc(scores_N: Tensor, labels_N: Tensor) -> float | None:
    """``Ranking.auc`` of scores and labels. Of several labels a row, (N, L), the mean over those that are defined.

    >>> area_under_roc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.75
    """
    columns = zip(scores_N.reshape(len(scores_N), -1).unbind(1), labels_N.reshape(len(labels_N), -1).unbind(1))  # noqa: B905
    known = [a for s, y in columns if (a := Ranking.of(s, y > 0).auc) is not None]
    return fmean(known) if known else None
