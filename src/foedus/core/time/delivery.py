"""Deliveries: a job on its way to a node, computed there, and its answer on the way back, in virtual time.

The server's link is shared: all transfers of one direction split its capacity max-min fairly, none faster than the
node's own link. What takes how long is known before anything is computed, because jobs and transforms announce their
work and their bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foedus.core.records.ledger import Costs
from foedus.core.time.availability import ALWAYS, WhoIsOn
from foedus.core.time.clock import Clock, Event
from foedus.core.time.cost import Always, Link, Network, Spell
from foedus.core.time.shared_link import LAST, Flow, SharedLink
from foedus.core.types.job import Work
from foedus.core.types.keys import Key

FREE = Link(0.0, math.inf, math.inf)

REMEMBERED = 100_000
"""Links kept at hand; any of them can be drawn again from its key."""


_LATER = LAST + 1
"""Rank of a node's going off in the middle of a transfer: one that ends in the same instant has ended."""

WENT_OFF, DROPPED_OUT, NEVER_ON = "went off", "dropped out", "is off for good"
"""Why a job was lost."""


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
        deliveries: Deliveries,
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
        self.deliveries, self.node, self.count, self.link = deliveries, node, count, link
        self.bytes_down, self.compute_s, self.bytes_up = bytes_down, compute_s, bytes_up
        self._arrived, self._lost, self._stays = arrived, lost, stays
        self.times = Times()
        self._began = deliveries.clock.now

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

    def costs(self, outcome: object) -> Costs:
        """What it cost, when it has arrived, whatever came of it: ``Trip.costs``."""
        cost = self.spent()
        cost.messages_down = cost.messages_up = 1
        cost.lost_s = self.times.lost_s
        return cost

    def start(self) -> None:
        """Set out, now or when the node comes on."""
        on, end, _ = ALWAYS if self._stays else self.deliveries.spell(self.node)
        self._leaves = end if on else math.inf
        self.begin("down" if on else "off")

    def begin(self, stage: str) -> None:
        """Start a stage."""
        now = self.deliveries.clock.now
        self.stage, self._began = stage, now
        self._event = self._flow = None
        if stage in ("down", "up"):
            shared, nbytes, cap = self._side()
            self._flow = shared.start(nbytes, cap, self.node, self._end)
            if self._leaves < math.inf:
                self._watch()
        elif stage == "off":
            end = self.deliveries.spell(self.node).end
            if end < math.inf:
                self._losing = False
                self._event = self.deliveries.clock.schedule(end, self.node, self._end)
            else:  # it never comes on
                self._lose()
        else:
            end = now + (self.compute_s if stage == "compute" else self.link.latency)
            leaves = self._leaves
            if stage == "compute" and not self._stays:
                share = self.deliveries.drops_after(self.node, self.count, self.attempt)
                leaves = leaves if share is None else min(leaves, now + share * self.compute_s)
            # An answer that arrives in the instant in which its node goes off has arrived.
            self._losing = end > leaves
            done = self._lose if self._losing else self._end
            self._event = self.deliveries.clock.schedule(min(end, leaves), self.node, done)

    def _watch(self) -> None:
        """See to it that a transfer is lost with its node."""
        assert self._flow is not None
        ends = math.inf if self._flow.event is None else self._flow.event.when
        if self._leaves < ends:
            self._alarm = self.deliveries.clock.schedule(self._leaves, _LATER, self._lose)

    def _side(self) -> tuple[SharedLink, int, float]:
        if self.stage == "down":
            return self.deliveries.down, self.bytes_down, self.link.down
        return self.deliveries.up, self.bytes_up, self.link.up

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
        off = self.deliveries.clock.now >= self._leaves
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
        passed = self.deliveries.clock.now - self._began
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
            self._event = self.deliveries.clock.schedule(saved["when"], self.node, done)


class Deliveries:
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
        self.presence = None if always else WhoIsOn(availability, clock, seed, nodes)
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
