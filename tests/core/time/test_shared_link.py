"""The shared link against max-min fairness worked out the slow way."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.time.clock import VirtualClock
from foedus.core.time.shared_link import SharedLink

CAPACITY = 12.0


def rates(caps):
    """Max-min fair rates: raise all together, freeze whoever reaches its cap."""
    rate, left, free = dict.fromkeys(caps, 0.0), CAPACITY, set(caps)
    while free:
        share = left / len(free)
        full = {f for f in free if caps[f] <= share}
        for f in full or free:
            rate[f] = caps[f] if full else share
        left -= sum(rate[f] for f in (full or free))
        free -= full or free
    return rate


def by_hand(flows):
    """When each transfer ``(start, bytes, cap)`` ends: from one start or end to the next at constant rates."""
    waiting = sorted(range(len(flows)), key=lambda i: flows[i][0])
    left, ends, now = {}, {}, 0.0
    while waiting or left:
        rate = rates({i: flows[i][2] for i in left})
        events = [now + left[i] / rate[i] for i in left] + [flows[i][0] for i in waiting[:1]]
        then = min(events)
        for i in left:
            left[i] -= rate[i] * (then - now)
        now = then
        for i in [i for i in left if left[i] <= 1e-9 * flows[i][1] + 1e-12]:
            ends[i] = now
            del left[i]
        while waiting and flows[waiting[0]][0] <= now:
            i = waiting.pop(0)
            left[i] = flows[i][1]
    return [ends[i] for i in range(len(flows))]


def simulated(flows, cancel=None):
    clock = VirtualClock()
    link, ends, sent = SharedLink(clock, CAPACITY), {}, {}
    for i, (start, nbytes, cap) in enumerate(flows):

        def begin(i=i, nbytes=nbytes, cap=cap):
            flow = link.start(nbytes, cap, i, lambda: ends.setdefault(i, clock.now))
            if cancel and cancel[0] == i:
                clock.schedule(clock.now + cancel[1], i, lambda: sent.setdefault(i, link.cancel(flow)))

        clock.schedule(start, i, begin)
    while clock.advance():
        pass
    assert link.under_way == 0
    return ends, sent


transfers = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 1.0, 2.5, 7.0]), st.floats(1.0, 100.0), st.sampled_from([1.0, 2.0, 3.5, 5.0, 20.0])
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(transfers)
def test_it_is_max_min_fair(flows):
    ends, _ = simulated(flows)
    assert [ends[i] for i in range(len(flows))] == pytest.approx(by_hand(flows), rel=1e-7, abs=1e-7)


@settings(max_examples=50, deadline=None)
@given(transfers, st.floats(0.1, 20.0))
def test_a_cancelled_transfer_has_sent_what_its_rate_allowed_and_the_others_end_no_later(flows, after):
    undisturbed, _ = simulated(flows)
    ends, sent = simulated(flows, cancel=(0, after))
    _, nbytes, cap = flows[0]
    assert 0 <= sent[0] <= min(nbytes, cap * after) + 1e-6
    assert all(ends[i] <= undisturbed[i] + 1e-6 for i in range(1, len(flows)))


def test_ten_thousand_transfers_take_a_moment():
    """Events cost O(log n): with O(n) each, this would take minutes instead of a second."""
    clock = VirtualClock()
    link = SharedLink(clock, 1e6)
    caps = itertools.cycle([50.0, 80.0, 120.0, math.inf])
    ended = []
    for i in range(10_000):
        clock.schedule(i * 1e-3, i, lambda i=i: link.start(1000.0 + i, next(caps), i, lambda: ended.append(i)))
    steps = 0
    while clock.advance():
        steps += 1
    assert len(ended) == 10_000
    assert steps < 60_000
