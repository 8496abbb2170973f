"""Stale-synchronous gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from foedus.aggregators import Mean
from foedus.core.coordination.federation import Federation
from foedus.core.coordination.stream import Stream
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import fold
from foedus.core.types.state import State
from foedus.core.types.transform import Transform
from foedus.core.types.update import BUFFERS, Update
from foedus.jobs import Gradient
from foedus.jobs.schedules import Schedule
from foedus.programs.in_flight import check_over, check_rate


@dataclass(frozen=True)
class StaleSynchronous:
    """Stale-synchronous parallel descent (Ho et al. 2013): fast workers wait for the slowest only if too far ahead.

    A worker's clock counts its updates. It may start another as long as it is at most ``bound`` ahead of the slowest,
    so that no two clocks ever differ by more than ``bound + 1``. It reads all updates of clocks that every worker has
    finished, and those that have come since, its own among them. A finished clock is one round of ``SyncSGD``, summed
    in the same order: with ``bound=0`` every round has its bits. Round t is committed when clock t is finished.

    The model is what the server has by then, updates of unfinished clocks included; it also keeps these apart, at most
    n (bound + 1) vectors.
    Staleness is counted in clocks that finished while an update was computed; it is at most ``bound``.
    """

    rounds: int
    bound: int = 2
    lr: float | Schedule = 0.1
    batch_size: int | None = None
    transforms: tuple[Transform, ...] = ()
    failure: str = "abort"
    objective: ClassVar[str] = "rows"

    def __post_init__(self) -> None:
        if self.bound < 0:
            raise BadInput(f"bound is how many clocks a worker may be ahead, at least 0; got {self.bound}")
        check_rate(self.lr)
        Gradient(self.batch_size)

    async def __call__(self, fed: Federation) -> Tensor:
        # t clocks are finished: their updates are in base. early: those of clocks t, t + 1, ..., by worker. w has all.
        s = await fed.begin(
            lambda w: State(w=w, base=w, t=0, early=[], clocks=[0] * fed.nodes, heard=[fed.now] * fed.nodes)
        )
        async with fed.stream(
            Gradient(self.batch_size), transforms=self.transforms, commits=self.rounds, failure=self.failure
        ) as updates:
            while not updates.over:
                s = self._joined(fed, s)
                if self._slowest(s, updates) > s.t:
                    s = self._finish(fed, s)
                    updates.publish(s.w)
                    self._start(fed, updates, s)
                    await fed.commit(s)
                    continue
                self._start(fed, updates, s)
                if not updates.busy:
                    break
                u = await anext(updates, None)  # None: the last of those at work has failed
                if u is not None:
                    s = self._absorb(fed, s, u)
            check_over(updates)
        return s.w  # type: ignore[no-any-return]

    def _joined(self, fed: Federation, s: State) -> State:
        """With those that have joined: they begin at the first clock that is not finished, and hold nobody up."""
        new = fed.nodes - len(s.clocks)
        return s.replace(clocks=s.clocks + [s.t] * new, heard=s.heard + [fed.now] * new) if new else s

    def _slowest(self, s: State, updates: Stream) -> int:
        """The slowest clock of the workers that have not failed."""
        return min((c for n, c in enumerate(s.clocks) if n not in updates.out), default=0)

    def _start(self, fed: Federation, updates: Stream, s: State) -> None:
        slowest = self._slowest(s, updates)
        ready = [n for n in updates.idle if s.clocks[n] - slowest <= self.bound]
        for n in ready:
            updates.send(n, {"w": s.w}, waited=fed.now - s.heard[n])

    def _absorb(self, fed: Federation, s: State, u: Update) -> State:
        clock = s.clocks[u.node]
        early = [dict(of_clock) for of_clock in s.early]
        early += [{} for _ in range(clock - s.t + 1 - len(early))]
        early[clock - s.t][u.node] = {"weight": u.weight, **u.parts}
        clocks = [c + (n == u.node) for n, c in enumerate(s.clocks)]
        w = s.w.clone()
        self._move(fed, w, clock, u.parts, 1 / sum(fed.sizes))
        heard = [fed.now if n == u.node else at for n, at in enumerate(s.heard)]
        return s.replace(w=w, early=early, clocks=clocks, heard=heard)

    def _finish(self, fed: Federation, s: State) -> State:
        first, *early = s.early
        total, _ = fold(Mean(), [_as_update(n, kept) for n, kept in sorted(first.items())])
        base = s.base.clone()
        self._move(fed, base, s.t, total, 1.0)
        w = base.clone()  # anew from the base, so that the order of arrival leaves no rounding behind
        for t, of_clock in enumerate(early, s.t + 1):
            for kept in of_clock.values():
                self._move(fed, w, t, kept, 1 / sum(fed.sizes))
        return s.replace(w=w, base=base, t=s.t + 1, early=early)

    def _move(self, fed: Federation, w_D: Tensor, clock: int, parts: Mapping[str, Any], share: float) -> None:
        """Take the step of an update, or of a share of it, in place."""
        p = fed.layout.parameters
        w_D[:p].sub_(parts["gradient"], alpha=share * (self.lr(clock) if callable(self.lr) else self.lr))
        if BUFFERS in parts:
            w_D[p:].add_(parts[BUFFERS], alpha=share)


def _as_update(node: int, kept: Mapping[str, Any]) -> Update:
    return Update({k: v for k, v in kept.items() if k != "weight"}, kept["weight"], node=node, summed=True)
