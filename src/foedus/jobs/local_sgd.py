"""Several steps of gradient descent on a node's own rows: compute more, communicate less.

Legend: P parameters, N rows of the node.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState, NodeView, Work
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update
from foedus.jobs.division import check_patterns, matching
from foedus.jobs.schedules import Schedule


@dataclass(frozen=True)
class LocalSGD:
    """Stochastic gradient descent from ``args["w"]`` on the node's rows (McMahan et al. 2017, ClientUpdate).

    ``epochs``      passes over the rows, each in a fresh random order; the last batch of a pass may be smaller.
    ``steps``       exactly this many steps instead of ``epochs``.
    ``batch_size``  rows of a step, or ``None`` for the full batch.
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
        check_patterns(self.only, "only")

    def at(self, t: int) -> LocalSGD:
        """This job in round t, with the schedule resolved to a number, so that it travels as data."""
        return replace(self, lr=float(self.lr(t))) if callable(self.lr) else self

    def steps_on(self, rows: int) -> int:
        """Gradient steps this job takes on a node with that many rows."""
        if self.steps is not None:
            return self.steps
        return self.epochs * (1 if self.batch_size is None else math.ceil(rows / self.batch_size))

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
        if self.steps is None:
            return Work(trained=self.epochs * rows)
        b = rows if self.batch_size is None else min(self.batch_size, rows)
        passes, rest = divmod(self.steps, math.ceil(rows / b))
        return Work(trained=passes * rows + rest * b)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return model.layout.answer("delta")

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        if callable(self.lr):
            raise BadInput("this job's learning rate is a schedule: give nodes job.at(t)")
        model, w0 = node.model, args["w"]
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
        for x, y in self._batches(node):
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
        # One gather a pass; its batches are slices at fixed offsets of fresh memory, so alignment is fixed too. Inputs
        # that are read when asked for are read batch by batch, since a pass of them may not fit into memory.
        gathered = n if node.rows.in_memory else self.batch_size
        while left:
            for positions in torch.split(key.child(epoch).permutation(n), gathered):
                x, y = node.rows.batch(positions)
                for x_B, y_B in zip(torch.split(x, self.batch_size), torch.split(y, self.batch_size), strict=True):
                    yield x_B, y_B
                    left -= 1
                    if not left:
                        return
            epoch += 1
