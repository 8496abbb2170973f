"""SharedLink: transfers over one link, shared fairly among them."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any

from foedus.core.time.clock import Clock, Event


class Flow:
    """One transfer through a shared link. It ends at a time, or when the link has served every sharer so many bytes."""

    __slots__ = ("cap", "done", "end", "event", "nbytes", "priority", "sharing", "stay")

    def __init__(self, nbytes: float, cap: float, priority: int, done: Callable[[], None]) -> None:
        self.nbytes, self.cap, self.priority, self.done = nbytes, cap, priority, done
        self.event: Event | None = None
        """The end of a transfer on a link without a limit, where nothing that happens later changes it."""
        self.sharing = True
        """Whether it gets the common share of the link (else its own cap, which is less)."""
        self.end = 0.0
        """Bytes served to every sharer when it ends; for one at its own cap, the time when it ends."""
        self.stay = 0
        """Counts its moves between the two groups: entries of earlier stays in a heap are void. -1: it has left."""


LAST = 2**61
"""Rank of what happens last in its instant: rates are divided anew once, not for every transfer that starts."""


class SharedLink:
    """Transfers that share a capacity max-min fairly, each with a cap of its own (bytes per second).

    With unlimited capacity a transfer takes bytes / cap. With n equal transfers on a capacity C each gets C / n. A
    transfer whose cap is below the common share runs at its cap; the others share what is left. As all sharers are
    served alike, one number, the bytes served to each so far, says how far they all are: an event costs O(log n).
    """

    def __init__(self, clock: Clock, capacity: float = math.inf) -> None:
        self._clock, self.capacity = clock, capacity
        self._served = 0.0
        self._since = clock.now
        self._share = math.inf
        self._caps = 0.0
        self._count = {True: 0, False: 0}
        # By group (sharing or not): who ends first, and whose cap is next to cross the share.
        self._ends: dict[bool, list[tuple[float, int, int, int, Flow]]] = {True: [], False: []}
        self._crossing: dict[bool, list[tuple[float, int, int, int, Flow]]] = {True: [], False: []}
        self._sequence = itertools.count()
        self._next: Event | None = None
        self._due = False
        """Whether the next event divides the rates anew (else a transfer ends)."""

    @property
    def under_way(self) -> int:
        """Transfers that share the link now."""
        return self._count[True] + self._count[False]

    def start(self, nbytes: float, cap: float, priority: int, done: Callable[[], None]) -> Flow:
        """Begin a transfer; ``done`` is called when its last byte has left."""
        flow = Flow(nbytes, cap, priority, done)
        if math.isinf(self.capacity) or nbytes == 0:
            flow.event = self._clock.schedule(self._clock.now + nbytes / cap, priority, done)
            return flow
        self._advance()
        if not self.under_way:
            self._served = 0.0  # what came before leaves no trace in the rounding: a resumed run has not seen it
        self._enter(flow, True, nbytes)
        self._changed()
        return flow

    def cancel(self, flow: Flow) -> float:
        """Stop a transfer; returns the bytes already sent."""
        if flow.event is not None:
            flow.event.cancel()
            return (
                flow.nbytes - min(flow.nbytes, (flow.event.when - self._clock.now) * flow.cap) if flow.nbytes else 0.0
            )
        if flow.stay < 0:
            return flow.nbytes
        self._advance()
        left = self._leave(flow)
        self._changed()
        return flow.nbytes - left

    def snapshot(self) -> dict[str, Any]:
        """For the checkpoint; the flows themselves are in the snapshots of their deliveries."""
        return {
            "served": self._served,
            "since": self._since,
            "share": self._share,
            "caps": self._caps,
            "next": None if self._next is None else self._next.when,
            "due": self._due,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a snapshot, after ``restore_flow`` of every transfer: at the same instants, to the bit."""
        self._served, self._since = saved["served"], saved["since"]
        self._share, self._caps, self._due = saved["share"], saved["caps"], saved["due"]
        if saved["next"] is not None:
            self._next = self._clock.schedule(saved["next"], LAST, self._divide if self._due else self._complete)

    def restore_flow(self, flow: Flow, sharing: bool, end: float, when: float | None) -> Flow:
        """Put a transfer back where it was."""
        if when is not None:
            flow.event = self._clock.schedule(when, flow.priority, flow.done)
        else:
            self._join(flow, sharing, end)
        return flow

    # -- the two groups ----------------------------------------------------------------------------------------

    def _enter(self, flow: Flow, sharing: bool, left: float) -> None:
        if not sharing:
            self._caps += flow.cap
        self._join(flow, sharing, self._served + left if sharing else self._since + left / flow.cap)

    def _join(self, flow: Flow, sharing: bool, end: float) -> None:
        flow.sharing, flow.end, flow.stay = sharing, end, flow.stay + 1
        self._count[sharing] += 1
        order = next(self._sequence)
        heapq.heappush(self._ends[sharing], (end, flow.priority, order, flow.stay, flow))
        # Of the sharers the slowest crosses first when the share grows, of the others the fastest when it shrinks.
        cap = flow.cap if sharing else -flow.cap
        heapq.heappush(self._crossing[sharing], (cap, flow.priority, order, flow.stay, flow))

    def _leave(self, flow: Flow) -> float:
        left = flow.end - self._served if flow.sharing else (flow.end - self._since) * flow.cap
        self._count[flow.sharing] -= 1
        if not flow.sharing:
            self._caps = self._caps - flow.cap if self._count[False] else 0.0
        flow.stay = -1 - flow.stay
        return max(0.0, left)

    @staticmethod
    def _first(heap: list[tuple[float, int, int, int, Flow]]) -> Flow | None:
        while heap and heap[0][4].stay != heap[0][3]:
            heapq.heappop(heap)
        return heap[0][4] if heap else None

    def _move(self, flow: Flow) -> None:
        stay = flow.stay
        left = self._leave(flow)
        flow.stay = stay
        self._enter(flow, not flow.sharing, left)

    def _level(self) -> float:
        if self._count[True]:
            return (self.capacity - self._caps) / self._count[True]
        return math.inf if self._caps <= self.capacity else 0.0

    # -- time --------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        passed = self._clock.now - self._since
        if passed > 0:
            if self._count[True]:
                self._served += self._share * passed
            self._since = self._clock.now

    def _changed(self) -> None:
        if self._due:
            return
        if self._next is not None:
            self._next.cancel()
        self._due = True
        self._next = self._clock.schedule(self._clock.now, LAST, self._divide)

    def _divide(self) -> None:
        """Water filling: who needs less than the common share gets what it needs, the others share the rest."""
        self._due, self._next = False, None
        self._advance()
        while True:
            share = self._level()
            slowest, fastest = self._first(self._crossing[True]), self._first(self._crossing[False])
            if slowest is not None and slowest.cap <= share:
                self._move(slowest)
            elif fastest is not None and fastest.cap > share:
                self._move(fastest)
            else:
                break
        self._share = share
        soonest = math.inf
        sharer, other = self._first(self._ends[True]), self._first(self._ends[False])
        if sharer is not None:
            soonest = self._clock.now + (sharer.end - self._served) / share
        if other is not None:
            soonest = min(soonest, other.end)
        if soonest < math.inf:
            self._next = self._clock.schedule(soonest, LAST, self._complete)

    def _complete(self) -> None:
        self._next = None
        self._advance()
        # Transfers that end together must end together, whatever the rounding: a nanosecond is no difference.
        ended: list[Flow] = []
        for sharing, now in ((True, self._served + self._share * 1e-9), (False, self._clock.now + 1e-9)):
            while (flow := self._first(self._ends[sharing])) is not None and flow.end <= now:
                self._leave(flow)
                ended.append(flow)
        self._changed()
        for flow in sorted(ended, key=lambda f: f.priority):
            flow.done()
