"""Asynchronous gradient descent with a parameter server.

Legend: P parameters, D = P + B with the float buffers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from foedus.core.coordination.federation import Federation
from foedus.core.errors import BadInput
from foedus.core.types.state import State
from foedus.core.types.transform import Transform
from foedus.core.types.update import BUFFERS
from foedus.jobs import Gradient
from foedus.jobs.schedules import Schedule
from foedus.programs.discounts import Constant, Discount
from foedus.programs.in_flight import check_commit_every, check_over, check_rate, give_work, updates_per_commit


@dataclass(frozen=True)
class DelayCompensation:
    """DC-ASGD (Zheng et al. 2017, arXiv:1609.08326): a gradient moved to where the server is by now.

    g + strength * g * g * (w - w_sent), element by element: g g' stands for the Hessian. With ``decay`` the strength is
    divided by the root of the gradients' mean square, which forgets by this factor (DC-ASGD-a; the paper has strength 2
    and decay 0.95). Strength 0 is plain asynchronous descent.
    """

    strength: float = 0.04
    decay: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise BadInput(f"DelayCompensation's strength must be a non-negative number, got {self.strength}")
        if self.decay is not None and not 0 <= self.decay < 1:
            raise BadInput(f"DelayCompensation's decay must be in [0, 1), or None for none; got {self.decay}")

    def init(self, w_P: Tensor) -> Any:
        """The gradients' mean square, if it is needed."""
        return None if self.decay is None else torch.zeros_like(w_P)

    def __call__(self, g_P: Tensor, w_P: Tensor, sent_P: Tensor, mean_square_P: Any) -> tuple[Tensor, Any]:
        """``(gradient, mean square)``: the gradient at ``sent_P``, as it would be at ``w_P``."""
        square = g_P * g_P
        if self.decay is not None:
            mean_square_P = self.decay * mean_square_P + (1 - self.decay) * square
        if self.strength == 0:
            return g_P, mean_square_P
        moved = square * (w_P - sent_P)
        if self.decay is not None:
            moved /= torch.sqrt(mean_square_P + 1e-7)
        return g_P + self.strength * moved, mean_square_P


@dataclass(frozen=True)
class ParameterServer:
    """Asynchronous SGD (Dean et al. 2012, Downpour): workers fetch w, compute, push; the server updates on arrival.

    An update is w <- w - lr * discount(staleness) * g. A worker's g is its gradient's sum over its rows divided by the
    mean number of rows of a worker, so that if all are equally often heard it is the loss on the union that falls;
    float buffers move by 1/n of a worker's difference.

    ``rounds``        commits; ``commit_every`` updates each, by default as many as there are workers.
    ``lr``            rate of one update, or a schedule over commits. An update of ``SyncSGD`` is one of n workers.
    ``discount``      ``Constant()``, ``StalenessAware()``, ``Polynomial()`` or ``Hinge()``.
    ``compensation``  ``DelayCompensation()``, or None.
    ``failure``       ``"abort"``, or ``"skip"`` to go on without a worker that failed.
    """

    rounds: int
    lr: float | Schedule = 0.1
    batch_size: int | None = None
    discount: Discount = Constant()
    compensation: DelayCompensation | None = None
    commit_every: int | None = None
    transforms: tuple[Transform, ...] = ()
    failure: str = "abort"
    objective: ClassVar[str] = "rows"

    def __post_init__(self) -> None:
        check_rate(self.lr)
        check_commit_every(self.commit_every)
        Gradient(self.batch_size)

    async def __call__(self, fed: Federation) -> Tensor:
        p, rows = fed.layout.parameters, sum(fed.sizes)
        compensate = self.compensation
        s = await fed.begin(
            lambda w: State(w=w, mean_square=None if compensate is None else compensate.init(w[:p]), t=0)
        )
        new = 0
        async with fed.stream(
            Gradient(self.batch_size), transforms=self.transforms, commits=self.rounds, failure=self.failure
        ) as updates:
            await give_work(fed, updates, {"w": s.w})
            async for u in updates:
                g_P, mean_square = u["gradient"] / (rows / fed.nodes), s.mean_square
                if compensate is not None:
                    g_P, mean_square = compensate(g_P, s.w[:p], updates.args["w"][:p], mean_square)
                w = s.w.clone()
                lr = self.lr(s.t) if callable(self.lr) else self.lr
                w[:p].sub_(g_P, alpha=lr * self.discount.factor(u.staleness))
                if BUFFERS in u.parts:
                    w[p:].add_(u[BUFFERS] / rows)
                s = s.replace(w=w, mean_square=mean_square)
                updates.publish(s.w)
                await give_work(fed, updates, {"w": s.w})
                new += 1
                if new == updates_per_commit(self.commit_every, fed.nodes):
                    new, s = 0, s.replace(t=s.t + 1)
                    await fed.commit(s)
                    rows = sum(fed.sizes)  # of those that have joined, too
                    await give_work(fed, updates, {"w": s.w})
            check_over(updates)
        return s.w  # type: ignore[no-any-return]
