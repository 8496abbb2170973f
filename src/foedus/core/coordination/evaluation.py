"""Evaluation: how good a model is on some rows, as a job, and how answers over several parts become one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from foedus.core.coordination.spread import worst_tenth
from foedus.core.types.cells import GROUPS, HALVES
from foedus.core.types.data import IndexedRows
from foedus.core.types.grouped import Grouped
from foedus.core.types.job import NodeState, NodeView, Parts, Rows, Work
from foedus.core.types.metric import LOSS, Metric
from foedus.core.types.model import Model
from foedus.core.types.scoring import values
from foedus.core.types.statistics import Statistics
from foedus.core.types.update import Tensors, Update

CHUNK = 1000
"""Rows of the test set that one task evaluates."""

NODES = 16
"""Nodes that evaluate one after the other in one task."""


@dataclass(frozen=True)
class Evaluate:
    """Loss and metrics of ``args["w"]`` on a node's rows; nothing is learned.

    The answer has no parts, its weight is the number of rows, and its metrics are ``loss`` and the model's own, of the
    node's rows; those that are not defined on them are not there. Its ``sums`` are what they are made of and adds up
    over nodes (``Statistics``): no scores of single rows, but counts in fine bins. ``start`` and ``stop`` restrict it
    to some rows, ``held_out`` to those that the node keeps from training (all its rows, where the data set has no such
    rows). ``keep_rows``: the sums hold every row's scores, as metrics of one's own need them, and of the metrics there
    is only the loss: for the coordinator's own test set, which does not travel. ``judge``: the sums are by half and by
    cell of the rows, where they are not trained on (``Found`` is made of them).

    ``constant``: what is measured is no model, but an answer that is the same for all rows: what one does who knows
    only what is usual. Rows that are read when asked for are not read for it, and measure nothing.
    """

    batch_size: int = 1000
    start: int = 0
    stop: int | None = None
    keep_rows: bool = False
    held_out: bool = False
    constant: tuple[float, ...] = ()
    judge: bool = False

    def _range(self, rows: int) -> range:
        return range(min(self.start, rows), rows if self.stop is None else min(self.stop, rows))

    def work(self, rows: int) -> Work:
        return Work(evaluated=len(self._range(rows)))

    def parts(self, model: Model) -> Parts:
        return {}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        rows = self._rows(node)
        span = self._range(len(rows))
        judged = self.judge and not self.constant and (node.id < 0 or rows is node.held_out)
        if judged and isinstance(rows, IndexedRows):
            found, halves, grouped = self._by_cells(node, rows, span, args)
            sums = {f"{HALF}{h}/{k}": t for h, half in enumerate(halves) for k, t in half.tensors.items()}
            sums |= {f"{CELLS}/{k}": t for k, t in grouped.tensors.items()}
        else:
            found = self._statistics(node, rows, span, args)
            sums = dict((found if self.keep_rows else found.coarse()).tensors)
        metrics = values(() if self.keep_rows else node.model.measures, found)
        return Update({}, float(len(span)), metrics, node.id, sums=sums), node.state

    def statistics(self, node: NodeView, args: Tensors) -> tuple[range, Statistics]:
        """Which rows, and the statistics of the model on them, the rows' scores kept."""
        rows = self._rows(node)
        span = self._range(len(rows))
        return span, self._statistics(node, rows, span, args)

    def _rows(self, node: NodeView) -> Rows:
        return node.held_out if self.held_out and node.held_out is not None else node.rows

    def _outputs(
        self, node: NodeView, rows: Rows, span: range, args: Tensors
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """What the model makes of the rows, batch by batch: their places, outputs and labels or targets."""
        if not self.constant:
            node.model.load(args["w"])
        for at in range(span.start, span.stop, self.batch_size):
            stop = min(at + self.batch_size, span.stop)
            x, y = rows.batch(torch.arange(at, stop))
            yield (
                slice(at, stop),
                torch.tensor(self.constant).expand(len(y), -1) if self.constant else node.model.outputs(x),
                y,
            )

    def _statistics(self, node: NodeView, rows: Rows, span: range, args: Tensors) -> Statistics:
        if self.constant and not rows.in_memory:
            return Statistics({})
        found = self._outputs(node, rows, span, args)
        return Statistics.sum(node.model.statistics(output, y, node.unit, all=self.keep_rows) for _, output, y in found)

    def _by_cells(
        self, node: NodeView, rows: IndexedRows, span: range, args: Tensors
    ) -> tuple[Statistics, list[Statistics], Grouped]:
        """The statistics of the rows, of either half of them as they are sent, and what groups of rows have."""
        model, keep = node.model, self.keep_rows
        parts: list[list[Statistics]] = [[] for _ in range(HALVES)]
        grouped, all_scored = [], []
        for place, output, y in self._outputs(node, rows, span, args):
            cell_N, scored = rows.cells[place], model.scored(output, y)
            grouped.append(model.grouped(output, y, cell_N, node.unit, scored))
            all_scored.append(scored)
            half_N = cell_N // GROUPS
            for h, some in enumerate(parts):
                at = (half_N == h).nonzero().flatten()
                if len(at):
                    some.append(model.statistics(output[at], y[at], node.unit, all=keep, scores=keep))
        halves = [Statistics.sum(some) for some in parts]
        found = Statistics.sum(halves)
        if not keep:  # scores are looked at once, not half by half
            scores = Statistics.sum(all_scored)
            found = found.beside(scores)
            placed = scores.by_half(rows.cells[span.start : span.stop].numpy() >= GROUPS)
            halves = [half.coarse().beside(p) for half, p in zip(halves, placed, strict=True)]
        return found, halves, Grouped.sum(grouped)


def mean_loss(node: NodeView, w_D: Tensor) -> float:
    """The mean loss of a model on the rows that a node trains on."""
    return values((), Evaluate().statistics(node, {"w": w_D})[1])[LOSS.name]


AT_NODES = Evaluate(held_out=True, judge=True)
"""How a node measures a model, where its program has no way of its own."""


@dataclass(frozen=True)
class EvaluateEach:
    """Each of several models on a node's rows; the models are rows of ``args["w"]`` (K, D).

    ``start`` and ``stop`` say which, the rest on which rows and how, as in ``Evaluate``. The answer's ``sums`` are
    those of each model, the k-th's by names that begin with ``k/``; its weight is the number of rows.
    """

    start: int = 0
    stop: int = 0
    held_out: bool = False
    keep_rows: bool = False

    def part(self, i: int, parts: int, models: int) -> EvaluateEach:
        """This job on the i-th of so many even parts of the models."""
        return replace(self, start=i * models // parts, stop=(i + 1) * models // parts)

    def work(self, rows: int) -> Work:
        return Work(evaluated=rows * (self.stop - self.start))

    def parts(self, model: Model) -> Parts:
        return {}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        evaluate = Evaluate(held_out=self.held_out, keep_rows=self.keep_rows)
        sums: dict[str, Any] = {}
        rows = 0.0
        for k in range(self.start, self.stop):
            u, _ = evaluate(node, {"w": args["w"][k]})
            sums |= {f"{k}/{name}": t for name, t in u.sums.items()}
            rows = u.weight
        return Update({}, rows, {}, node.id, sums=sums), node.state

    @staticmethod
    def of_model(k: int, u: Update) -> Statistics:
        """The statistics of the k-th model in an answer; none where it was not among those evaluated."""
        mark = f"{k}/"
        return Statistics({n.removeprefix(mark): t for n, t in u.sums.items() if n.startswith(mark)})


def together(updates: Iterable[Update]) -> Statistics:
    """The statistics of the rows of several answers; none where an answer has none (of a job of one's own)."""
    used = [u for u in updates if u.weight > 0]
    if not all(u.sums for u in used):
        return Statistics({})
    plain = Statistics.sum(_sums(u, "") for u in used)
    halves = of_halves(used)
    return Statistics.sum([plain, *halves])


def of_halves(updates: Iterable[Update]) -> list[Statistics]:
    """The statistics of either half of the rows of several answers; none where one of them does not tell by half."""
    used = [u for u in updates if u.weight > 0]
    if not used or not all(any(name.startswith(HALF) for name in u.sums) for u in used):
        return []
    return [Statistics.sum(_sums(u, f"{HALF}{h}/") for u in used) for h in range(HALVES)]


def of_groups(updates: Iterable[Update]) -> Grouped:
    """What groups of the rows of several answers have."""
    return Grouped.sum(Grouped(_sums(u, f"{CELLS}/").tensors) for u in updates if u.weight > 0)


HALF, CELLS = "half", "cells"
"""Names of an answer's sums begin with these, where they are told by half or by cell of the rows."""


def _sums(u: Update, begin: str) -> Statistics:
    """Those sums of an answer whose names begin so, without that; where it is empty, those that have no beginning."""
    return Statistics(
        {n.removeprefix(begin): t for n, t in u.sums.items() if (n.startswith(begin) if begin else "/" not in n)}
    )


def combine(
    updates: Iterable[Update], measures: Sequence[Metric] = (), found: Statistics | None = None
) -> dict[str, float]:
    """Loss and metrics of all rows of several answers of ``Evaluate``, by name; those not defined are not in it.

    What is no sum over rows (a function of the user's, at nodes; all that a job without ``sums`` answers) is the mean
    of what the answers say, by their rows, over those where it is defined. ``found``: their statistics ``together``.
    """
    used = [u for u in updates if u.weight > 0]
    found = together(used) if found is None else found
    out = values(measures, found)
    for name in dict.fromkeys(name for u in used for name in u.metrics):
        own = not found.tensors or any(m.name == name and not m.pooled for m in measures)
        if name not in out and own:
            known = [u for u in used if name in u.metrics]
            out[name] = sum(u.metrics[name] * u.weight for u in known) / sum(u.weight for u in known)
    return out


def over_nodes(metric: Metric, values: Sequence[float | None]) -> dict[str, float]:
    """What a metric is over the nodes, each counting alike: its mean, and its mean over the worst tenth of them.

    Nodes where it is not defined (None) do not count.

    >>> from foedus.core.types.metric import named
    >>> over_nodes(named("accuracy"), [0.75, 0.5, None, 1.0])
    {'node_mean_accuracy': 0.75, 'node_worst_decile_accuracy': 0.5}
    """
    known = [v for v in values if v is not None]
    if not known:
        return {}
    worst = worst_tenth(known, higher=metric.higher)
    return {f"node_mean_{metric.name}": fmean(known), f"node_worst_decile_{metric.name}": worst}


def main(measures: Sequence[Metric]) -> Metric:
    """The measure that runs are judged by: the first that the model has, else the loss."""
    return measures[0] if measures else LOSS
