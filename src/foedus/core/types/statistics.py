"""Statistics: what of a model's answers on some rows adds up, so that a measure of all rows is made of that of parts.

Legend: N rows, C classes, K targets of a row, S scores that rows are ranked by (1 of two classes, C of several, L of L
labels a row), B bins, w the weight of a row.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foedus.core.types.cells import HALVES
from foedus.core.types.ranking import Ranking, area, edges, fall, of_class

CALIBRATION_BINS = 10
"""Even bins of a probability in which what was said is compared with what was found."""

PER_OCTAVE, SMALLEST, LARGEST = 32, -64, 64
"""Bins of the size of an error: so many from one power of two to the next, between these powers. 0 has its own."""

ACCURACY, BRIER, LOG_LOSS, CONFUSION, CALIBRATION = "accuracy", "brier", "log_loss", "confusion", "calibration"
SCORES, ERRORS, DEVIATIONS, RAW = "scores", "errors", "deviations", "raw"
NEEDS = (ACCURACY, BRIER, LOG_LOSS, CONFUSION, CALIBRATION, SCORES, ERRORS, DEVIATIONS, RAW)
"""What a metric may be made of, beside the loss: sums over rows; rows by true and predicted class; what was said and
found by bins of the probability; scores by class; sums of errors; sizes of errors; outputs and targets as they are."""

LOSS = "loss"

_ROW_BY_ROW = ("scores", "labels", "weights", "deviations", "outputs", "targets")
_PLACED = {"placed": "histogram", "sized": "sizes"}
"""Where rows fall, and the counts that this stands for."""


@dataclass(frozen=True)
class Statistics:
    """Named numbers and float64 tensors of some rows; those of other rows are added with ``+``, in any order of parts.

    ``rows``, ``loss``, ``accuracy``, ``brier``, ``log_loss``  sums over rows: floats, all others are tensors.
    ``confusion``    (C, C) rows by true class (first) and predicted one.
    ``calibration``  (3, CALIBRATION_BINS): rows, the sum of the probabilities that were said, and how often it was so.
                     Of two classes it is class 1 that is spoken of, of several the predicted one.
    ``squared``, ``absolute``  (K,) sums of errors.   ``moments``  (2, K): the targets' mean, and their summed squares
                     about it.
    ``histogram``    (S, 2, B) rows of class 0 and of class 1 by bins of the score, see ``edges``.
    ``sizes``        (K, bins) rows by the size of the error.

    Of fewer rows than there are bins these two are told by where rows fall, each column sorted: ``placed`` (N, S) and
    ``sized`` (N, K), int32. As long as rows are kept (``coarse`` lets go of them) there are instead ``scores`` (N, S)
    as log odds, ``labels`` (N,) or (N, S), and ``deviations`` (N, K): what is made of these is exact. ``weights`` (N,)
    where rows do not count alike; ``outputs`` and ``targets`` for functions of the user's.

    Counts are whole numbers, so their sums are the same bits however rows were divided; other sums are so up to the
    rounding of float64.

    >>> (Statistics({"rows": 2.0, "loss": 0.5}) + Statistics({"rows": 3.0, "loss": 0.25})).tensors
    {'rows': 5.0, 'loss': 0.75}
    """

    tensors: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.tensors[name]

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    @property
    def rows(self) -> float:
        """How many rows, or their weight."""
        return float(self.tensors.get("rows", 0.0))

    @cached_property
    def rankings(self) -> tuple[Ranking, ...]:
        """One for each score that rows have: of two classes one, else one a class or label; none if they have none."""
        if "scores" in self:
            labels, weights = self["labels"], self.tensors.get("weights")
            columns = enumerate(self["scores"].unbind(1))
            return tuple(Ranking.of(column, of_class(labels, k), weights) for k, column in columns)
        counts = self.counted()
        return tuple(map(Ranking.binned, counts["histogram"])) if "histogram" in counts else ()

    @property
    def areas(self) -> list[float | None]:
        """``Ranking.auc`` for each score that rows have."""
        if "scores" in self and "weights" not in self:
            scores_NS, labels = self["scores"].numpy(), self["labels"].numpy()
            return [area(scores_NS[:, k], of_class(labels, k)) for k in range(scores_NS.shape[1])]
        return [r.auc for r in self.rankings]

    @property
    def by_class(self) -> list[tuple[float, float]]:
        """For each score that rows have, how many are of class 0 and of class 1."""
        if "placed" in self:
            positive = self["placed"].numpy() >= _BINS
            return [(float(len(positive) - n), float(n)) for n in positive.sum(0).tolist()]
        return [r.sizes for r in self.rankings]

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics.sum([self, other])

    def beside(self, more: Statistics) -> Statistics:
        """With other statistics of the same rows."""
        return Statistics({**self.tensors, **more.tensors}) if more.tensors else self

    @staticmethod
    def sum(parts: Iterable[Statistics]) -> Statistics:
        """All of them together, added in order, as far as all have them; of none there are none. What is joined row
        by row is joined once.
        """
        listed = [p for p in parts if p.tensors]
        if len(listed) < 2:
            return listed[0] if listed else Statistics({})
        if any(_by_rows(p.tensors) != _by_rows(listed[0].tensors) for p in listed):
            listed = [p.coarse() for p in listed]
        if any(_joined(p.tensors) != _joined(listed[0].tensors) for p in listed):
            listed = [p.counted() for p in listed]
        each = [p.tensors for p in listed]
        joined, out = _joined(each[0]), {}
        for name in (n for n in each[0] if all(n in t for t in each)):
            values = [t[name] for t in each]
            if name in joined:
                out[name] = torch.cat(values)
            elif name == "moments":
                out[name] = _all_moments(values, [t["rows"] for t in each])
            else:
                out[name] = functools.reduce(operator.add, values)
        return _few(out)

    def coarse(self) -> Statistics:
        """The same without rows: scores and sizes of errors become counts in bins, outputs are let go of."""
        t = self.tensors
        if not _by_rows(t):
            return self
        out = {k: v for k, v in t.items() if k not in _ROW_BY_ROW}
        weights = t.get("weights")
        places: dict[str, Tensor] = {}
        if "scores" in t:
            places["placed"] = torch.from_numpy(fall(t["scores"], t["labels"], edges()))
        if "deviations" in t:
            places["sized"] = _sizes_fall(t["deviations"])
        if weights is not None:
            return Statistics(out | {_PLACED[name]: _counts(name, p, weights) for name, p in places.items()})
        return _few(out | {name: sorted_columns(p.numpy()) for name, p in places.items()})

    def by_half(self, second_N: np.ndarray) -> list[Statistics]:
        """The coarse scores of the rows in either half, by who is in the second; none for a half without rows, or where
        no scores are kept.
        """
        if "scores" not in self:
            return [Statistics({})] * HALVES
        places = fall(self["scores"], self["labels"], edges())
        parts = places[~second_N], places[second_N]
        return [_few({"placed": sorted_columns(p)}) if len(p) else Statistics({}) for p in parts]

    def counted(self) -> Statistics:
        """The same with counts in the place of where rows fall."""
        t = self.tensors
        if not any(name in t for name in _PLACED):
            return self
        counts = {_PLACED[name]: _counts(name, t[name]) for name in _PLACED if name in t}
        return Statistics({name: v for name, v in t.items() if name not in _PLACED} | counts)


def measured(
    output: Tensor,
    y: Tensor,
    losses: Tensor,
    needs: frozenset[str],
    weights_N: Tensor | None = None,
    unit_K: Tensor | None = None,
) -> Statistics:
    """The statistics of some rows, which are kept as far as what is needed is made of them.

    ``output``, ``y``  as the network and the data have them.   ``losses``  of each row (N,), or their mean.
    ``needs``      what metrics are made of, among ``NEEDS``.
    ``weights_N``  what a row counts; None: all 1. Whole numbers keep counts exact.
    ``unit_K``     what 1 in each target (K,) is in its own unit: errors are measured in that.
    """
    w = None if weights_N is None else weights_N.double()
    rows = float(len(y)) if w is None else w.sum().item()
    out: dict[str, Any] = {"rows": rows, LOSS: _total(losses, w) if losses.dim() else losses.double().item() * rows}
    if CONFUSION in needs:
        c = classes_of(output)
        out[CONFUSION] = torch.bincount(confused(output, y), w, c * c).view(c, c).double()
    if ACCURACY in needs:
        out[ACCURACY] = out[CONFUSION].trace().item() if CONFUSION in out else _total(right(output, y), w)
    if needs & {ERRORS, DEVIATIONS}:
        _errors(out, output, y, needs, w, unit_K)
    if needs & {BRIER, LOG_LOSS, CALIBRATION}:
        _probabilities(out, output, y, needs, w)
    if SCORES in needs:
        out |= scored(output, y).tensors
    if w is not None and needs & {SCORES, DEVIATIONS}:
        out["weights"] = w
    if RAW in needs:
        out["outputs"], out["targets"] = output, y
        if unit_K is not None:
            out["outputs"], out["targets"] = output * unit_K.view_as(output[0]), y * unit_K.view_as(y[0])
    return Statistics(out)


def scored(output: Tensor, y: Tensor) -> Statistics:
    """The scores of some rows alone."""
    found = scores(output, y)
    return Statistics({"scores": found, "labels": labels_of(found, y)})


def right(output: Tensor, y: Tensor) -> Tensor:
    """Whether each row's class is right (N,); of a row with several labels the share that is."""
    if output.numel() != y.numel() or output.numel() == len(y):
        return predicted_classes(output) == y.flatten()
    return ((output > 0) == y.view_as(output)).flatten(1).double().mean(1)


def predicted_classes(output: Tensor) -> Tensor:
    """Class of the largest output, or whether a single logit is positive (N,)."""
    return output.argmax(1) if output.dim() == 2 and output.shape[1] > 1 else (output.flatten() > 0).long()


def classes_of(output: Tensor) -> int:
    """How many classes a network's outputs tell apart: two, where it has a single one."""
    return max(2, output.shape[1]) if output.dim() == 2 else 2


def confused(output: Tensor, y: Tensor) -> Tensor:
    """The place of each row (N,) in a confusion matrix whose rows, of the true classes, stand one after the other."""
    return y.flatten().long() * classes_of(output) + predicted_classes(output)


def labels_of(scores_NS: Tensor, y: Tensor) -> Tensor:
    """What the scores are scores of: for each whether it is so (N, S); of several classes the class (N,)."""
    return torch.from_numpy(y.numpy().reshape(scores_NS.shape) > 0) if y.numel() == scores_NS.numel() else y


def scores(output: Tensor, y: Tensor) -> Tensor:
    """Log odds (N, S) of class 1, of every label, or of each of several classes: larger for rows that are of it."""
    if output.numel() == y.numel():
        return output.reshape(len(y), -1)
    if output.shape[1] == 2:
        z = output.numpy()
        return torch.from_numpy(z[:, 1:] - z[:, :1])
    log_p = output.double().log_softmax(1)
    return log_p - torch.log1p(-log_p.exp())


def _total(each_N: Tensor, w: Tensor | None) -> float:
    if w is not None:
        return float((each_N.double() @ w).item())
    return float((each_N.sum() if each_N.dtype == torch.bool else each_N.sum(dtype=torch.float64)).item())


def in_own_unit(output: Tensor, y: Tensor, unit_K: Tensor | None) -> tuple[Tensor, Tensor]:
    """Errors and targets (N, K), float64, in the targets' own units."""
    target = y.reshape(len(y), -1).double()
    error = output.reshape(len(y), -1).double() - target
    return (error, target) if unit_K is None else (error * unit_K, target * unit_K)


def _errors(
    out: dict[str, Any], output: Tensor, y: Tensor, needs: frozenset[str], w: Tensor | None, unit_K: Tensor | None
) -> None:
    error, target = in_own_unit(output, y, unit_K)
    if DEVIATIONS in needs:
        out["deviations"] = error.abs()
    if ERRORS in needs:
        each = torch.ones(len(y), dtype=torch.float64) if w is None else w
        mean = each @ target / each.sum().clamp_min(1e-300)
        out["squared"], out["absolute"] = each @ error.square(), each @ error.abs()
        out["moments"] = torch.stack([mean, each @ (target - mean).square()])


def _all_moments(each: Sequence[Tensor], rows: Sequence[float]) -> Tensor:
    """Mean and summed squares about it of parts together (Chan, Golub and LeVeque 1983)."""
    total, so_far = each[0], rows[0]
    for part, more in zip(each[1:], rows[1:], strict=True):
        n, apart = max(so_far + more, 1e-300), part[0] - total[0]
        squares = total[1] + part[1] + apart.square() * (so_far * more / n)
        total, so_far = torch.stack([total[0] + apart * (more / n), squares]), so_far + more
    return total


def probabilities(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each row (N,), float64: its Brier score, its log loss, the probability that was said and whether it was so."""
    if output.numel() == y.numel():  # a logit for each label
        z, found = output.reshape(len(y), -1).double(), y.reshape(len(y), -1).double()
        p = z.sigmoid()
        brier = (p - found).square().mean(1)
        log_loss = F.binary_cross_entropy_with_logits(z, found, reduction="none").mean(1)
        said, so = p[:, 0], found[:, 0]
    else:
        log_p = output.double().log_softmax(1)
        p, log_loss = log_p.exp(), F.nll_loss(log_p, y, reduction="none")
        brier = (p - F.one_hot(y, p.shape[1])).square().sum(1)
        if p.shape[1] == 2:  # both classes say the same
            brier, said, so = brier / 2, p[:, 1], y.double()
        else:
            said, chosen = p.max(1)
            so = (chosen == y).double()
    return brier, log_loss, said, so


def calibration_bin(said_N: Tensor) -> Tensor:
    """The bin (N,) of each probability that was said."""
    return (said_N * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)


def _probabilities(out: dict[str, Any], output: Tensor, y: Tensor, needs: frozenset[str], w: Tensor | None) -> None:
    brier, log_loss, said, so = probabilities(output, y)
    if BRIER in needs:
        out[BRIER] = _total(brier, w)
    if LOG_LOSS in needs:
        out[LOG_LOSS] = _total(log_loss, w)
    if CALIBRATION in needs:
        bin_N = calibration_bin(said)
        each = torch.ones_like(said) if w is None else w
        sums = (torch.bincount(bin_N, each * v, CALIBRATION_BINS) for v in (torch.ones_like(said), said, so))
        out[CALIBRATION] = torch.stack(list(sums))


_BINS = len(edges()) + 1
"""Of a score, see ``edges``."""
_SIZES = (LARGEST - SMALLEST) * PER_OCTAVE + 1
"""Of an error's size."""


_MANY = {"placed": 2 * _BINS, "sized": _SIZES}


def _sizes_fall(deviations_NK: Tensor) -> Tensor:
    """The bin of the size of each error (N, K), int32."""
    at = torch.floor(torch.log2(deviations_NK) * PER_OCTAVE).clamp(SMALLEST * PER_OCTAVE, LARGEST * PER_OCTAVE - 1)
    return torch.where(deviations_NK > 0, at - SMALLEST * PER_OCTAVE + 1, 0.0).int()


def _counts(name: str, places: Tensor, weights_N: Tensor | None = None) -> Tensor:
    """How many rows fall where, of ``placed`` or ``sized``."""
    counts = torch.stack([torch.bincount(column, weights_N, _MANY[name]).double() for column in places.unbind(1)])
    return counts.view(-1, 2, _BINS) if name == "placed" else counts


def _by_rows(tensors: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(n for n in _ROW_BY_ROW if n in tensors)


def sorted_columns(places_NS: np.ndarray) -> Tensor:
    """Where rows fall, so that no two of them can be told to belong together."""
    places_NS.sort(0)
    return torch.from_numpy(places_NS)


def _few(tensors: Mapping[str, Any]) -> Statistics:
    """With counts where there are more rows than bins."""
    s = Statistics(tensors)
    return s.counted() if any(name in tensors and len(tensors[name]) >= _MANY[name] for name in _PLACED) else s


def _joined(tensors: Mapping[str, Any]) -> frozenset[str]:
    """What is not added up but put one after the other."""
    return _by_rows(tensors).union(n for n in _PLACED if n in tensors)
