"""Zeno++: asynchronous gradient descent among any number of dishonest nodes, by rows of the server's own.

Legend: P parameters, D = P + B with the float buffers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from torch import Tensor

from foedus.core.coordination.federation import Federation
from foedus.core.errors import BadInput
from foedus.core.types.data import ROOT
from foedus.core.types.state import State
from foedus.core.types.suspicion import Suspicion
from foedus.core.types.transform import Transform
from foedus.core.types.update import BUFFERS, Update, finite
from foedus.jobs import Gradient
from foedus.jobs.schedules import Schedule
from foedus.programs.in_flight import check_commit_every, check_over, check_rate, give_work, updates_per_commit
from foedus.programs.suspects import suspicions


@dataclass(frozen=True)
class ZenoPlusPlus:
    """Zeno++ (Xie, Koyejo and Gupta 2020, arXiv:1903.07020, Algorithm 1): a gradient counts if it leads downhill for
    rows that the server itself holds, the root set.

    v is the gradient on the root set at some model of the last steps. What a node sends is made as long as v,
    g <- g ||v|| / ||g||, and used, w <- w - lr g, if its score lr <v, g> - rho ||g||^2 is at least -lr epsilon: about
    how much the loss on the root set falls by this step, less a price for its length. Else it is forgotten. No number
    of dishonest nodes is too large; the root set has to be like the nodes' rows (``split(..., root=100)``).

    ``rounds``         commits; ``commit_every`` gradients each, used or not, by default as many as there are nodes.
    ``rho``            the price of a step's length: the larger, the nearer a gradient's direction has to be to v's,
                       whose cosine with it has to be at least rho / lr - epsilon / ||v||^2.
    ``epsilon``        how much uphill is let pass. Above ||v||^2 everything is.
    ``lazy``           v is taken anew after so many steps, for which the server takes as long as a node with so many
                       rows would.
    ``root_batch_size``  rows of the root set for v; None: all.
    ``failure``        ``"skip"``: who fails is asked no more. ``"abort"``: the run ends.

    Float buffers (batch norm's statistics) are those of the root set: no score tells whose are honest. ``accepted`` in
    the record is the share of gradients that were used.
    """

    rounds: int
    lr: float | Schedule = 0.1
    batch_size: int | None = None
    rho: float = 0.001
    epsilon: float = 0.0
    lazy: int = 10
    root_batch_size: int | None = None
    commit_every: int | None = None
    transforms: tuple[Transform, ...] = ()
    failure: str = "skip"
    objective: ClassVar[str] = "nodes"

    def __post_init__(self) -> None:
        check_rate(self.lr)
        check_commit_every(self.commit_every)
        Gradient(self.batch_size)
        Gradient(self.root_batch_size)
        for name, value in (("rho", self.rho), ("epsilon", self.epsilon)):
            if not (math.isfinite(value) and value >= 0):
                raise BadInput(f"{name} must be a non-negative number, got {value}")
        if self.lazy < 1:
            raise BadInput(f"lazy is a number of steps, at least 1, got {self.lazy}")

    async def __call__(self, fed: Federation) -> Tensor:
        p = fed.layout.parameters
        s = await fed.begin(lambda w: State(w=w, v=None, steps=0, t=0))
        if s.v is None:
            s = await self._look(fed, s)
        heard: list[tuple[int, bool, float]] = []  # since the last commit
        async with fed.stream(
            Gradient(self.batch_size),
            transforms=self.transforms,
            commits=self.rounds,
            failure=self.failure,
            robust=True,
        ) as updates:
            while await give_work(fed, updates, {"w": s.w}):
                u = await anext(updates, None)
                if u is None:  # all who were at work have failed, or the run is over
                    continue
                lr = self.lr(s.t) if callable(self.lr) else self.lr
                g_P = u.value()["gradient"]
                step_P = as_long(g_P, s.v)
                used = finite({"g": step_P}) and score(step_P, s.v, lr, self.rho) >= -lr * self.epsilon
                heard.append((u.node, used, _distance(g_P, s.v)))
                if used:
                    w = s.w.clone()
                    w[:p].sub_(step_P, alpha=lr)
                    s = s.replace(w=w, steps=s.steps + 1)
                    if s.steps == self.lazy:
                        s = await self._look(fed, s)
                    updates.publish(s.w)
                await give_work(fed, updates, {"w": s.w})
                if len(heard) == updates_per_commit(self.commit_every, fed.nodes):
                    s, accepted = s.replace(t=s.t + 1), sum(used for _, used, _ in heard) / len(heard)
                    await fed.commit(s, extra={"accepted": accepted}, suspects=_suspects(heard))
                    heard = []
                    await give_work(fed, updates, {"w": s.w})
            check_over(updates)
        return s.w  # type: ignore[no-any-return]

    async def _look(self, fed: Federation, s: State) -> State:
        """Take v anew, and the float buffers along."""
        (u,) = await fed.map(Gradient(self.root_batch_size), {"w": s.w}, (ROOT,))
        assert isinstance(u, Update)  # an answer that is none has ended the run
        value, w = u.value(), s.w.clone()
        if BUFFERS in value:
            w[fed.layout.parameters :].add_(value[BUFFERS])
        return s.replace(w=w, v=value["gradient"], steps=0)


def as_long(g_P: Tensor, v_P: Tensor) -> Tensor:
    """g ||v|| / ||g||; 0 stays 0.

    >>> import torch
    >>> as_long(torch.tensor([30.0, 40.0]), torch.tensor([0.0, 5.0]))
    tensor([3., 4.])
    """
    length = float(g_P.double().norm())
    return g_P * (float(v_P.double().norm()) / length) if length else g_P


def score(g_P: Tensor, v_P: Tensor, lr: float, rho: float) -> float:
    """lr <v, g> - rho ||g||^2: about what a step of -lr g takes off the loss whose gradient is v, less the price of its
    length.

    >>> import torch
    >>> score(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 5.0]), lr=0.5, rho=0.25)
    3.75
    """
    g, v = g_P.double(), v_P.double()
    return lr * float(v @ g) - rho * float(g @ g)


def _distance(g_P: Tensor, v_P: Tensor) -> float:
    d = float((g_P.double() - v_P.double()).norm())
    return d if math.isfinite(d) else math.inf


def _suspects(heard: list[tuple[int, bool, float]]) -> dict[int, Suspicion]:
    """Of every node the share of its gradients that was not used, and how far from v they were."""
    nodes = sorted({n for n, _, _ in heard})
    left_out = {n: fmean(not used for m, used, _ in heard if m == n) for n in nodes}
    return suspicions(left_out, {n: fmean(d for m, _, d in heard if m == n) for n in nodes})
