"""Evaluation: how good a model is on some rows, as a job, and how answers over several parts become one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor

from foedus.core.coordination.spread import worst_tenth
from foedus.core.types.job import NodeState, NodeView, Parts, Work
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update

QUALITY = ("accuracy", "auc", "rmse", "loss")
"""Measures of quality, the main one first."""

SMALLER_IS_BETTER = ("loss", "rmse")

CHUNK = 1000
"""Rows of the test set that one task evaluates."""

NODES = 16
"""Nodes that evaluate one after the other in one task."""


@dataclass(frozen=True)
class Evaluate:
    """Loss and metrics of ``args["w"]`` on a node's rows; nothing is learned.

    The answer has no parts, its weight is the number of rows, and its metrics are means over them: ``loss``,
    ``accuracy``, ``mse`` and ``auc`` (that of the node's own rows) where the model has those metrics. ``start`` and
    ``stop`` restrict it to some rows, ``held_out`` to those that the node keeps from training (all its rows, where the
    data set has no such rows). ``keep_scores`` answers ``scores`` and ``labels`` of every row instead of a
    node's ``auc``: for the coordinator's own test set, which does not travel. ``labels`` is how many a row has.
    """

    batch_size: int = 1000
    start: int = 0
    stop: int | None = None
    keep_scores: bool = False
    held_out: bool = False
    labels: int = 1

    def _range(self, rows: int) -> range:
        return range(min(self.start, rows), rows if self.stop is None else min(self.stop, rows))

    def work(self, rows: int) -> Work:
        return Work(evaluated=len(self._range(rows)))

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        if self.keep_scores and self.stop is not None:
            shape = (self.stop - self.start,) if self.labels == 1 else (self.stop - self.start, self.labels)
            return {"scores": shape, "labels": shape}
        return {}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        rows = node.held_out if self.held_out and node.held_out is not None else node.rows
        span = self._range(len(rows))
        node.model.load(args["w"])
        sums: dict[str, float] = {}
        scores: list[Tensor] = []
        labels: list[Tensor] = []
        for at in range(span.start, span.stop, self.batch_size):
            x, y = rows.batch(torch.arange(at, min(at + self.batch_size, span.stop)))
            output = node.model.outputs(x)
            for name, value in node.model.sums(output, y).items():
                sums[name] = sums.get(name, 0.0) + value
            if "auc" in node.model.metrics:
                scores.append(node.model.scores(output, y))
                labels.append(y.view_as(scores[-1]).float())  # as announced
        n = max(1, len(span))
        metrics = {name: value / n for name, value in sums.items()}
        parts: dict[str, Tensor] = {}
        if scores and self.keep_scores:
            parts = {"scores": torch.cat(scores), "labels": torch.cat(labels)}
        elif scores:
            auc = area_under_roc(torch.cat(scores), torch.cat(labels))
            if auc is not None:
                metrics["auc"] = auc
        return Update(parts, float(len(span)), metrics, node.id), node.state


AT_NODES = Evaluate(held_out=True)
"""How a node measures a model, where its program has no way of its own."""


@dataclass(frozen=True)
class EvaluateEach:
    """One metric of each of several models on a node's rows; the models are rows of ``args["w"]`` (K, D).

    ``start`` and ``stop`` say which, ``held_out`` on which rows, as in ``Evaluate``. Answers ``quality``
    (stop - start,) float64, NaN where the metric does not apply; its weight is the number of rows.
    """

    metric: str
    start: int = 0
    stop: int = 0
    held_out: bool = False

    def part(self, i: int, parts: int, models: int) -> EvaluateEach:
        """This job on the i-th of so many even parts of the models."""
        return replace(self, start=i * models // parts, stop=(i + 1) * models // parts)

    def work(self, rows: int) -> Work:
        return Work(evaluated=rows * (self.stop - self.start))

    def parts(self, model: Model) -> Parts:
        return {"quality": ((self.stop - self.start,), torch.float64)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        evaluate = Evaluate(held_out=self.held_out)
        answers = [evaluate(node, {"w": w})[0] for w in args["w"][self.start : self.stop]]
        metrics = [combine([a]) for a in answers]
        quality = torch.tensor([m.get(self.metric, math.nan) for m in metrics], dtype=torch.float64)
        rows = max((a.weight for a in answers), default=0.0)
        return Update({"quality": quality}, rows, {}, node.id), node.state


def combine(updates: Iterable[Update]) -> dict[str, float]:
    """Means over the rows of several answers of ``Evaluate``; ``rmse`` is that of all rows together.

    So is ``auc`` where the answers keep their scores; otherwise it is a mean over those where it is defined.
    """
    updates = [u for u in updates if u.weight > 0]
    if not updates:
        return {}
    out = {}
    for name in dict.fromkeys(name for u in updates for name in u.metrics):
        known = [u for u in updates if name in u.metrics]
        out[name] = sum(u.metrics[name] * u.weight for u in known) / sum(u.weight for u in known)
    if "mse" in out:
        out["rmse"] = math.sqrt(out.pop("mse"))
    if "scores" in updates[0].parts:
        auc = area_under_roc(torch.cat([u["scores"] for u in updates]), torch.cat([u["labels"] for u in updates]))
        if auc is not None:
            out["auc"] = auc
    return out


def over_nodes(metric: str, values: Sequence[float | None]) -> dict[str, float]:
    """What a metric is over the nodes, each counting alike: its mean, and its mean over the worst tenth of them.

    Nodes where it is not defined (None) do not count.

    >>> over_nodes("accuracy", [0.75, 0.5, None, 1.0])
    {'node_mean_accuracy': 0.75, 'node_worst_decile_accuracy': 0.5}
    """
    known = [v for v in values if v is not None]
    if not known:
        return {}
    worst = worst_tenth(known, higher=metric not in SMALLER_IS_BETTER)
    return {f"node_mean_{metric}": fmean(known), f"node_worst_decile_{metric}": worst}


def area_under_roc(scores_N: Tensor, labels_N: Tensor) -> float | None:
    """Probability that a row of class 1 scores above one of class 0, ties counting half; None if a class is missing.

    The Mann-Whitney statistic from mid-ranks (Fawcett 2006, https://doi.org/10.1016/j.patrec.2005.10.010). Of several
    labels a row, (N, L) scores and labels, it is the mean over the labels of which both classes are there.

    >>> area_under_roc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.75
    """
    if scores_N.dim() > 1:
        each = [area_under_roc(s, y) for s, y in zip(scores_N.unbind(1), labels_N.unbind(1), strict=True)]
        known = [a for a in each if a is not None]
        return fmean(known) if known else None
    positive = labels_N > 0
    n1 = int(positive.sum())
    n0 = len(labels_N) - n1
    if n1 == 0 or n0 == 0:
        return None
    _, group, counts = torch.unique(scores_N, return_inverse=True, return_counts=True)
    last_rank = counts.cumsum(0).double()
    mid_rank = last_rank - (counts.double() - 1) / 2
    rank_sum = float(mid_rank[group][positive].sum())
    return (rank_sum - n1 * (n1 + 1) / 2) / (n0 * n1)
