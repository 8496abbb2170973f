"""Statistics: what of a model's answers on some rows adds up, so that a measure of all rows is made of that of parts.

Legend: N rows, C classes, K targets of a row, S scores that rows are ranked by (1 of two classes, C of several, L of L
labels a row), B bins, w the weight of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from foedus.core.types.ranking import Ranking, edges, of_class

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

    As long as rows are kept (``coarse`` lets go of them) there are instead of the last two ``scores`` (N, S) as log
    odds, ``labels`` (N,) or (N, S), and ``deviations`` (N, K): what is made of these is exact. ``weights`` (N,) where
    rows do not count alike; ``outputs`` and ``targets`` for functions of the user's.

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
        return tuple(map(Ranking.binned, self["histogram"])) if "histogram" in self else ()

    def __add__(self, other: Statistics) -> Statistics:
        if not self.tensors or not other.tensors:
            return other if not self.tensors else self
        a, b = self.tensors, other.tensors
        if _by_rows(a) != _by_rows(b):
            a, b = self.coarse().tensors, other.coarse().tensors
        out = {}
        for name in a:
            if name not in b:
                continue
            if name in _ROW_BY_ROW:
                out[name] = torch.cat([a[name], b[name]])
            elif name == "moments":
                out[name] = _joined(a[name], a["rows"], b[name], b["rows"])
            else:
                out[name] = a[name] + b[name]
        return Statistics(out)

    @staticmethod
    def sum(parts: Iterable[Statistics]) -> Statistics:
        """All of them together, added in order; of none there are none. Rows that are kept are joined once."""
        listed = [p for p in parts if p.tensors]
        if len(listed) == 1:
            return listed[0]
        total = Statistics({})
        kept = _by_rows(listed[0].tensors) if listed else frozenset[str]()
        if not kept or any(_by_rows(p.tensors) != kept for p in listed):
            for p in listed:
                total = total + p
            return total
        for p in listed:
            total = total + Statistics({k: v for k, v in p.tensors.items() if k not in kept})
        return Statistics({**total.tensors, **{k: torch.cat([p[k] for p in listed]) for k in kept}})

    def coarse(self) -> Statistics:
        """The same without rows: scores and sizes of errors become counts in bins, outputs are let go of."""
        t = self.tensors
        if not _by_rows(t):
            return self
        out = {k: v for k, v in t.items() if k not in _ROW_BY_ROW}
        weights = t.get("weights")
        if "scores" in t:
            out["histogram"] = _histogram(t["scores"], t["labels"], weights)
        if "deviations" in t:
            out["sizes"] = _sizes(t["deviations"], weights)
        return Statistics(out)


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
        out["scores"] = scores(output, y)
        out["labels"] = labels_of(out["scores"], y)
    if w is not None and needs & {SCORES, DEVIATIONS}:
        out["weights"] = w
    if RAW in needs:
        out["outputs"], out["targets"] = output, y
        if unit_K is not None:
            out["outputs"], out["targets"] = output * unit_K.view_as(output[0]), y * unit_K.view_as(y[0])
    return Statistics(out)


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
    return y.view_as(scores_NS) > 0 if y.numel() == scores_NS.numel() else y


def scores(output: Tensor, y: Tensor) -> Tensor:
    """Log odds (N, S) of class 1, of every label, or of each of several classes: larger for rows that are of it."""
    if output.numel() == y.numel():
        return output.reshape(len(y), -1)
    if output.shape[1] == 2:
        return (output[:, 1] - output[:, 0]).unsqueeze(1)
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


def _joined(a: Tensor, rows_a: float, b: Tensor, rows_b: float) -> Tensor:
    """Mean and summed squares about it of two parts together (Chan, Golub and LeVeque 1983)."""
    rows = max(rows_a + rows_b, 1e-300)
    apart = b[0] - a[0]
    return torch.stack([a[0] + apart * (rows_b / rows), a[1] + b[1] + apart.square() * (rows_a * rows_b / rows)])


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


def _histogram(scores_NS: Tensor, labels: Tensor, weights_N: Tensor | None) -> Tensor:
    bins, counts = len(edges()) + 1, []
    for k, column in enumerate(scores_NS.double().t().contiguous()):
        places = torch.bucketize(column, edges(), right=True) + of_class(labels, k) * bins
        counts.append(torch.bincount(places, weights_N, 2 * bins).double().view(2, bins))
    return torch.stack(counts)


def _sizes(deviations_NK: Tensor, weights_N: Tensor | None) -> Tensor:
    at = torch.floor(torch.log2(deviations_NK) * PER_OCTAVE).clamp(SMALLEST * PER_OCTAVE, LARGEST * PER_OCTAVE - 1)
    place = torch.where(deviations_NK > 0, at - SMALLEST * PER_OCTAVE + 1, 0.0).long()
    most = (LARGEST - SMALLEST) * PER_OCTAVE + 1
    return torch.stack([torch.bincount(column, weights_N, most).double() for column in place.unbind(1)])


def _by_rows(tensors: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(n for n in _ROW_BY_ROW if n in tensors)
