"""Several steps of gradient descent on a node's own rows: compute more, communicate less.

Legend: P parameters, N rows of the node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from foedus.core.errors import BadInput, did_you_mean
from foedus.core.types.job import NodeState, NodeView, Work
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update
from foedus.jobs.division import check_patterns, matching
from foedus.jobs.schedules import Schedule

Batches = Iterable[tuple[Tensor, Tensor]]
LAST_BATCH = ("auto", "keep", "drop", "join", "join_one")


@dataclass(frozen=True)
class LocalSGD:
    """Stochastic gradient descent from ``args["w"]`` on the node's rows (McMahan et al. 2017, ClientUpdate).

    ``epochs``      passes over the rows, each in a fresh random order.
    ``steps``       exactly this many steps instead of ``epochs``.
    ``batch_size``  rows of a step, or ``None`` for the full batch.
    ``last_batch``  what becomes of the rows of a pass that are too few for a batch: ``"keep"``, they are one, smaller;
                    ``"drop"``, they wait for another pass; ``"join"``, they join the batch before; ``"join_one"``, they
                    do so if it is a single row, else they are kept. ``"auto"`` is ``"join_one"`` for a model that
                    cannot train on one row (batch norm has no variance of one number), and ``"keep"`` for all others.
    ``lr``          learning rate, or a schedule over rounds that ``at`` resolves.
    ``momentum``    heavy ball, from zero in every job: v <- momentum v + g, w <- w - lr v.
    ``weight_decay``  adds weight_decay * w to the gradient.
    ``proximal``    mu of FedProx (arXiv:1812.06127): adds mu (w - w0) to the gradient, w0 being ``args["w"]``, or
                    ``args["anchor"]`` where there is one (Ditto's personal model, arXiv:2012.04221).
    ``only``        names of the parameters that are trained, or patterns such as ``"head.*"``; the others stand still.
                    Empty: all of them.

    If ``args`` holds ``correction`` (P,), it is added to every gradient (SCAFFOLD's c - c_i, arXiv:1910.06378).
    Answers ``delta`` = w - w0 (P,), the difference of the float ``buffers`` (B,) if there are any, and as its
    weight the number of rows; the tensors are views of the resident model, valid until its next ``load``. Metrics:
    ``loss``, the mean over the rows as they were trained on, and ``steps``.
    """

    epochs: int = 1
    steps: int | None = None
    batch_size: int | None = 10
    lr: float | Schedule = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    proximal: float = 0.0
    only: tuple[str, ...] = ()
    last_batch: str = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise BadInput(f"epochs must be at least 1, got {self.epochs}")
        if self.steps is not None and self.steps < 1:
            raise BadInput(f"steps must be at least 1, or None to count epochs; got {self.steps}")
        if self.batch_size is not None and self.batch_size < 1:
            raise BadInput(f"batch_size must be at least 1, or None for the full batch; got {self.batch_size}")
        if not callable(self.lr) and not (math.isfinite(self.lr) and self.lr >= 0):
            raise BadInput(f"lr must be a non-negative number or a schedule, got {self.lr}")
        for name in ("momentum", "weight_decay", "proximal"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadInput(f"{name} must be a non-negative number, got {value}")
        if self.last_batch not in LAST_BATCH:
            raise BadInput(
                f"last_batch is {self.last_batch!r}: {did_you_mean(str(self.last_batch), LAST_BATCH)}"
                f"use one of {', '.join(LAST_BATCH)}"
            )
        check_patterns(self.only, "only")

    def at(self, t: int) -> LocalSGD:
        """This job in round t, with the schedule resolved to a number, so that it travels as data."""
        return replace(self, lr=float(self.lr(t))) if callable(self.lr) else self

    def fitted(self, model: Model, x_1: Callable[[], Tensor]) -> LocalSGD:
        """This job with ``"auto"`` resolved to what suits the model; ``x_1`` gives a batch of one row."""
        if self.last_batch != "auto":
            return self
        return self if model.trains_on_one_row(x_1) else replace(self, last_batch="join_one")

    def at_node(self, node: NodeView) -> LocalSGD:
        """``fitted`` to the node's model. The model holds nothing sensible until its next ``load``."""
        return self.fitted(node.model, lambda: node.rows.batch(torch.zeros(1, dtype=torch.int64))[0])

    def batches(self, rows: int) -> list[int]:
        """Rows of each batch of one pass over so many.

        >>> [LocalSGD(batch_size=5, last_batch=b).batches(11) for b in ("keep", "drop", "join")]
        [[5, 5, 1], [5, 5], [5, 6]]
        """
        count, b, last = self._pass(rows)
        return [b] * (count - 1) + [last]

    def _pass(self, rows: int) -> tuple[int, int, int]:
        """Batches of one pass, the rows of each but the last, and those of the last."""
        b = rows if self.batch_size is None else min(self.batch_size, rows)
        count, rest = divmod(rows, b)
        if not rest or self.last_batch == "drop":
            return count, b, b
        if self.last_batch == "join" or (self.last_batch == "join_one" and rest == 1):
            return count, b, b + rest
        return count + 1, b, rest

    def smallest_batch(self, rows: int) -> int:
        """Rows of the smallest batch that it trains on, at a node with so many."""
        count, b, last = self._pass(rows)
        if self.steps is not None and self.steps < count:
            return b
        return last if count == 1 else min(b, last)

    def steps_on(self, rows: int) -> int:
        """Gradient steps this job takes on a node with that many rows."""
        return self.epochs * self._pass(rows)[0] if self.steps is None else self.steps

    def weight_of_steps(self, rows: int) -> float:
        """The norm of ``a`` where w0 - w = lr sum_k a_k g_k, the g_k being the gradients of the steps.

        It is the number of steps; momentum makes it larger, ``proximal`` smaller (Wang et al. 2020,
        arXiv:2007.07481, section 4).
        """
        steps = self.steps_on(rows)
        if not self.momentum and not self.proximal:
            return float(steps)
        if callable(self.lr):
            raise BadInput("this job's learning rate is a schedule: ask job.at(t)")
        # Steps of size 1 against gradients that are all 1: how far they lead.
        w = v = 0.0
        for _ in range(steps):
            v = self.momentum * v + 1.0 - self.proximal * self.lr * w
            w += v
        return w

    def work(self, rows: int) -> Work:
        count, b, last = self._pass(rows)
        of_a_pass = (count - 1) * b + last
        if self.steps is None:
            return Work(trained=self.epochs * of_a_pass)
        passes, rest = divmod(self.steps, count)
        return Work(trained=passes * of_a_pass + rest * b)

    def most_weight(self, rows: int) -> float:
        """The most that its answer weighs: the node's rows."""
        return float(rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return model.layout.answer("delta")

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        if callable(self.lr):
            raise BadInput("this job's learning rate is a schedule: give nodes job.at(t)")
        fitted, model, w0 = self.at_node(node), node.model, args["w"]
        model.load(w0)
        model.training()
        chosen = self._chosen(model)

        def pick(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
            return tuple(tensors) if chosen is None else tuple(tensors[i] for i in chosen)

        w = pick(model.views)
        velocity = pick(model.split(torch.zeros(model.layout.parameters))) if self.momentum else None
        correction = pick(model.split(args["correction"])) if "correction" in args else None
        anchor = pick(model.split(args.get("anchor", w0))) if self.proximal else None
        loss_sum, rows_seen, steps = 0.0, 0, 0
        for x, y in fitted._batches(node):
            loss = model.mean_loss(x, y)
            grads = pick(model.gradients(loss))
            # Out of place: autograd may give one tensor as the gradient of two parameters.
            if self.weight_decay:
                grads = torch._foreach_add(grads, w, alpha=self.weight_decay)
            if anchor is not None:
                grads = torch._foreach_add(grads, torch._foreach_sub(w, anchor), alpha=self.proximal)
            if correction is not None:
                grads = torch._foreach_add(grads, correction)
            if velocity is not None:
                torch._foreach_mul_(velocity, self.momentum)
                torch._foreach_add_(velocity, grads)
                grads = velocity
            torch._foreach_add_(w, grads, alpha=-self.lr)
            rows = len(y)
            loss_sum += loss.item() * rows
            rows_seen += rows
            steps += 1
            del loss, grads  # the next step then works in the same memory, which is still in the cache
        metrics = {"loss": loss_sum / rows_seen, "steps": float(steps)}
        return Update(model.take_difference(w0), len(node.rows), metrics, node.id), node.state

    def _chosen(self, model: Model) -> list[int] | None:
        """Which of the model's parameters are trained, by their place; None: all."""
        if not self.only:
            return None
        names = set(matching(model.layout, self.only))
        return [i for i in range(len(model.parameters)) if model.layout.slots[i].name in names]

    def _batches(self, node: NodeView) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(node.rows)
        left = self.steps_on(n)
        if self.batch_size is None or (self.batch_size >= n):
            # One batch holds every row: their order is that of the node, so that no sum changes with the draw.
            x, y = node.rows.batch()
            yield x, y
            for _ in range(left - 1):
                yield (x, y) if node.rows.in_memory else node.rows.batch()
            return
        key, epoch = node.key.child("shuffle"), 0
        sizes = self.batches(n)
        while left:
            order = key.child(epoch).permutation(n)[: sum(sizes)]
            if node.rows.in_memory:
                # One gather a pass; its batches are slices at fixed offsets of fresh memory, so alignment is fixed too.
                x, y = node.rows.batch(order)
                batches: Iterable[tuple[Tensor, Tensor]] = zip(
                    torch.split(x, sizes), torch.split(y, sizes), strict=True
                )
            else:  # a pass of inputs that are read when asked for may not fit into memory
                batches = map(node.rows.batch, torch.split(order, sizes))
            for x_B, y_B in batches:
                yield x_B, y_B
                left -= 1
                if not left:
                    return
            epoch += 1
