"""Deliveries: a job on its way to a node, computed there, and its answer on the way back, in virtual time.

The server's link is shared: all transfers of one direction split its capacity max-min fairly, none faster than the
node's own link. What takes how long is known before anything is computed, because jobs and transforms announce their
work and their bytes.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foedus.core.clock import Clock, Event
from foedus.core.cost import Always, Link, Network, Spell
from foedus.core.execute import Outcome
from foedus.core.job import Work
from foedus.core.keys import Key
from foedus.core.ledger import Costs
from foedus.core.presence import ALWAYS, Presence

FREE = Link(0.0, math.inf, math.inf)

REMEMBERED = 100_000
"""Links kept at hand; any of them can be drawn again from its key."""


class Flow:
    """One transfer through a shared link. It ends at a time, or when the link has served every sharer so many bytes."""

    __slots__ = ("cap", "done", "end", "event", "nbytes", "rank", "sharing", "stay")

    def __init__(self, nbytes: float, cap: float, rank: int, done: Callable[[], None]) -> None:
        self.nbytes, self.cap, self.rank, self.done = nbytes, cap, rank, done
        self.event: Event | None = None
        """The end of a transfer on a link without a limit, where nothing that happens later changes it."""
        self.sharing = True
        """Whether it gets the common share of the link (else its own cap, which is less)."""
        self.end = 0.0
        """Bytes served to every sharer when it ends; for one at its own cap, the time when it ends."""
        self.stay = 0
        """Counts its moves between the two groups: entries of earlier stays in a heap are void. -1: it has left."""


_LAST = 2**61
"""Rank of what happens last in its instant: rates are divided anew once, not for every transfer that starts."""

_LATER = _LAST + 1
"""Rank of a node's going off in the middle of a transfer: one that ends in the same instant has ended."""

WENT_OFF, DROPPED_OUT, NEVER_ON = "went off", "dropped out", "is off for good"
"""Why a job was lost."""


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

    def start(self, nbytes: float, cap: float, rank: int, done: Callable[[], None]) -> Flow:
        """Begin a transfer; ``done`` is called when its last byte has left."""
        flow = Flow(nbytes, cap, rank, done)
        if math.isinf(self.capacity) or nbytes == 0:
            flow.event = self._clock.schedule(self._clock.now + nbytes / cap, rank, done)
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
            self._next = self._clock.schedule(saved["next"], _LAST, self._divide if self._due else self._complete)

    def restore_flow(self, flow: Flow, sharing: bool, end: float, when: float | None) -> Flow:
        """Put a transfer back where it was."""
        if when is not None:
            flow.event = self._clock.schedule(when, flow.rank, flow.done)
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
        heapq.heappush(self._ends[sharing], (end, flow.rank, order, flow.stay, flow))
        # Of the sharers the slowest crosses first when the share grows, of the others the fastest when it shrinks.
        cap = flow.cap if sharing else -flow.cap
        heapq.heappush(self._crossing[sharing], (cap, flow.rank, order, flow.stay, flow))

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
        self._next = self._clock.schedule(self._clock.now, _LAST, self._divide)

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
            self._next = self._clock.schedule(soonest, _LAST, self._complete)

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
        for flow in sorted(ended, key=lambda f: f.rank):
            flow.done()


@dataclass
class Times:
    """Seconds one job has spent so far in each stage, and the bytes that moved. ``off_s``: until its node came on;
    ``lost_s``: of ``compute_s``, what was begun anew."""

    wire_s: float = 0.0
    compute_s: float = 0.0
    sent_down: float = 0.0
    sent_up: float = 0.0
    off_s: float = 0.0
    lost_s: float = 0.0


class Delivery:
    """One job in flight: down, compute, up, arrived. Ends by calling ``arrived`` once, unless it is cancelled.

    A job for a node that is off waits until it comes on. If the node goes off before it has answered, or drops out
    while it computes, the job is lost: ``lost`` is called with the reason and that was it. Without ``lost`` the node
    begins the job anew as soon as it can, so that the answer arrives, late. One that ``stays`` does neither.
    """

    STAGES = ("off", "down", "down_latency", "compute", "up", "up_latency", "arrived")

    # As a delivery begins; set at the class, for there is one a job.
    stage = ""
    attempt = 0
    """How often the node has begun anew."""
    _leaves = math.inf
    """When the node goes off."""
    _event: Event | None = None
    _losing = False
    """Whether the event is that the job is lost (else that its stage ends)."""
    _flow: Flow | None = None
    _alarm: Event | None = None
    """The node goes off during a transfer whose end is not known beforehand."""

    def __init__(
        self,
        wires: Wires,
        node: int,
        count: int,
        link: Link,
        bytes_down: int,
        compute_s: float,
        bytes_up: int,
        arrived: Callable[[Delivery], None],
        lost: Callable[[Delivery, str], None] | None = None,
        stays: bool = False,
    ) -> None:
        self.wires, self.node, self.count, self.link = wires, node, count, link
        self.bytes_down, self.compute_s, self.bytes_up = bytes_down, compute_s, bytes_up
        self._arrived, self._lost, self._stays = arrived, lost, stays
        self.times = Times()
        self._began = wires.clock.now

    @property
    def there(self) -> bool:
        """Whether it has arrived."""
        return self.stage == "arrived"

    @property
    def least_s(self) -> float:
        """What it takes at least: with the server's link to itself and a node that stays on."""
        wire = self.bytes_down / self.link.down + self.bytes_up / self.link.up + 2 * self.link.latency
        return wire + self.compute_s

    def spent(self) -> Costs:
        """Bytes, messages and seconds so far."""
        t = self.times
        down, up = round(t.sent_down), round(t.sent_up)
        return Costs(
            bytes_down=down,
            bytes_up=up,
            messages_down=1 if down else 0,
            messages_up=1 if up else 0,
            compute_s=t.compute_s,
            wire_s=t.wire_s,
            off_s=t.off_s,
        )

    def costs(self, outcome: Outcome) -> Costs:
        """What it cost, when it has arrived: ``Trip.costs``."""
        cost = self.spent()
        cost.messages_down = cost.messages_up = 1
        cost.lost_s = self.times.lost_s
        return cost

    def start(self) -> None:
        """Set out, now or when the node comes on."""
        on, end, _ = ALWAYS if self._stays else self.wires.spell(self.node)
        self._leaves = end if on else math.inf
        self.begin("down" if on else "off")

    def begin(self, stage: str) -> None:
        """Start a stage."""
        now = self.wires.clock.now
        self.stage, self._began = stage, now
        self._event = self._flow = None
        if stage in ("down", "up"):
            shared, nbytes, cap = self._side()
            self._flow = shared.start(nbytes, cap, self.node, self._end)
            if self._leaves < math.inf:
                self._watch()
        elif stage == "off":
            end = self.wires.spell(self.node).end
            if end < math.inf:
                self._losing = False
                self._event = self.wires.clock.schedule(end, self.node, self._end)
            else:  # it never comes on
                self._lose()
        else:
            end = now + (self.compute_s if stage == "compute" else self.link.latency)
            leaves = self._leaves
            if stage == "compute" and not self._stays:
                share = self.wires.drops_after(self.node, self.count, self.attempt)
                leaves = leaves if share is None else min(leaves, now + share * self.compute_s)
            # An answer that arrives in the instant in which its node goes off has arrived.
            self._losing = end > leaves
            done = self._lose if self._losing else self._end
            self._event = self.wires.clock.schedule(min(end, leaves), self.node, done)

    def _watch(self) -> None:
        """See to it that a transfer is lost with its node."""
        assert self._flow is not None
        ends = math.inf if self._flow.event is None else self._flow.event.when
        if self._leaves < ends:
            self._alarm = self.wires.clock.schedule(self._leaves, _LATER, self._lose)

    def _side(self) -> tuple[SharedLink, int, float]:
        if self.stage == "down":
            return self.wires.down, self.bytes_down, self.link.down
        return self.wires.up, self.bytes_up, self.link.up

    def _end(self) -> None:
        self._account()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self.stage == "off":
            self.start()
            return
        following = self.STAGES[self.STAGES.index(self.stage) + 1]
        if following == "arrived":
            self.stage = following
            self._arrived(self)
        else:
            self.begin(following)

    def _lose(self) -> None:
        """The node went off or dropped out."""
        off = self.wires.clock.now >= self._leaves
        reason = NEVER_ON if self.stage == "off" else WENT_OFF if off else DROPPED_OUT
        self._stop()
        if self._lost is not None:
            self.stage = "lost"
            self._lost(self, reason)
        elif reason != NEVER_ON:
            self.attempt += 1
            self.times.lost_s = self.times.compute_s
            self.start()

    def _account(self) -> None:
        passed = self.wires.clock.now - self._began
        if self.stage == "compute":
            self.times.compute_s += passed
        elif self.stage == "off":
            self.times.off_s += passed
        else:
            self.times.wire_s += passed
        if self.stage == "down":
            self.times.sent_down += self.bytes_down
        elif self.stage == "up":
            self.times.sent_up += self.bytes_up

    def cancel(self) -> None:
        """Stop where it is; ``times`` says what was done until now."""
        if self.stage not in ("arrived", "lost"):
            self._stop()

    def _stop(self) -> None:
        before = self.times.sent_down, self.times.sent_up
        self._account()
        for event in (self._event, self._alarm):
            if event is not None:
                event.cancel()
        if self._flow is not None:
            sent = self._side()[0].cancel(self._flow)
            if self.stage == "down":
                self.times.sent_down = before[0] + sent
            else:
                self.times.sent_up = before[1] + sent
        self._event = self._flow = self._alarm = None

    def snapshot(self) -> dict[str, Any]:
        """For the checkpoint: where it is. Times are absolute, so that a resumed run meets the same instants."""
        t, flow, event = self.times, self._flow, self._event
        if flow is not None:
            event = flow.event
        return {
            "stage": self.stage,
            "began": self._began,
            "when": None if event is None else event.when,
            "losing": self._losing,
            "leaves": None if self._leaves == math.inf else self._leaves,
            "attempt": self.attempt,
            "flow": None if flow is None else [flow.sharing, flow.end],
            "times": [t.wire_s, t.compute_s, t.sent_down, t.sent_up, t.off_s, t.lost_s],
            "compute_s": self.compute_s,
        }

    def resume(self, saved: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self.stage, self._began = saved["stage"], saved["began"]
        self.times = Times(*saved["times"])
        self.compute_s = saved["compute_s"]
        self.attempt = saved.get("attempt", 0)
        self._losing = saved.get("losing", False)
        leaves = saved.get("leaves")
        self._leaves = math.inf if leaves is None else leaves
        if self.stage == "arrived":
            pass  # whoever owns it takes it
        elif saved["flow"] is not None:
            shared, nbytes, cap = self._side()
            sharing, end = saved["flow"]
            self._flow = shared.restore_flow(Flow(nbytes, cap, self.node, self._end), sharing, end, saved["when"])
            self._watch()
        elif saved["when"] is not None:
            done = self._lose if self._losing else self._end
            self._event = self.wires.clock.schedule(saved["when"], self.node, done)


class Wires:
    """The network of a run: the server's two shared directions, and every node's link, speed and presence."""

    def __init__(
        self,
        clock: Clock,
        network: Network | None,
        seed: int,
        flops: Callable[[], float],
        nodes: Callable[[], int] = lambda: 0,
        slowdown: Callable[[int], float] = lambda node: 1.0,
    ) -> None:
        self.clock, self.network, self._seed, self._flops, self._slowdown = clock, network, seed, flops, slowdown
        self._links: dict[int, Link] = {}
        availability = getattr(network, "availability", Always())
        always = isinstance(availability, Always)
        self.presence = None if always else Presence(availability, clock, seed, nodes)
        """Who is on; None where every node always is."""
        self._dropout = float(getattr(network, "dropout", 0.0))
        self.down = SharedLink(clock, math.inf if network is None else network.server_down)
        self.up = SharedLink(clock, math.inf if network is None else network.server_up)

    @property
    def reliable(self) -> bool:
        """Whether every job that is sent comes back."""
        return self.presence is None and not self._dropout

    def spell(self, node: int) -> Spell:
        """Whether the node is on now, and until when that stays so."""
        return ALWAYS if self.presence is None else self.presence.spell(node)

    def drops_after(self, node: int, count: int, attempt: int) -> float | None:
        """The share of its computing after which the node drops out of its count-th job, or None if it does not."""
        if not self._dropout:
            return None
        key = Key(self._seed).child("dropout", node, count, attempt)
        return key.child("when").uniform() if key.uniform() < self._dropout else None

    def link(self, node: int) -> Link:
        """The node's connection (free without a network)."""
        if self.network is None:
            return FREE
        link = self._links.get(node)
        if link is None:
            if len(self._links) >= REMEMBERED:
                self._links.clear()
            link = self._links[node] = self.network.link(node, Key(self._seed).child("link", node))
        return link

    def compute_seconds(self, node: int, work: Work, count: int) -> float:
        """Seconds the node's count-th job computes."""
        if self.network is None:
            return 0.0
        seconds = self.network.compute_seconds(node, work, self._flops(), *speed_keys(self._seed, node, count))
        return seconds * self._slowdown(node) if node >= 0 else seconds

    def send(
        self,
        node: int,
        count: int,
        work: Work,
        bytes_down: int,
        bytes_up: int,
        arrived: Callable[[Delivery], None],
        saved: dict[str, Any] | None = None,
        free: bool = False,
        lost: Callable[[Delivery, str], None] | None = None,
    ) -> Delivery:
        """Give a node a job; ``arrived`` is called when its answer is there, ``lost`` if it never will be.

        ``free``: node and server are one, and the node is there as long as the run is.
        """
        seconds = self.compute_seconds(node, work, count)
        free = free or node < 0
        if free:
            link, bytes_down, bytes_up = FREE, 0, 0
        else:
            link = self.link(node)
        delivery = Delivery(self, node, count, link, bytes_down, seconds, bytes_up, arrived, lost, free)
        if saved is None:
            delivery.start()
        else:
            delivery.resume(saved)
        return delivery


def speed_keys(seed: int, node: int, count: int) -> tuple[Key, Key]:
    """The keys of how fast a node's device is, and of how long its ``count``-th job takes there."""
    key = Key(seed)
    return key.child("device", node), key.child("speed", node, count)
