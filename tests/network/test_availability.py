"""Availability: the same whatever is asked and in whatever order, with the shares and lengths that it promises."""

import itertools
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.errors import BadInput
from foedus.core.time.availability import WhoIsOn
from foedus.core.time.clock import VirtualClock
from foedus.core.time.cost import Availability, Spell
from foedus.core.types.keys import Key
from foedus.network import IDEAL, Always, CostModel, DayNight, OnOff, Pareto

KINDS = [OnOff(3.0, 5.0), DayNight(10.0, 0.3), DayNight(7.0, 0.5, spread=0.0)]


def key(node: int) -> Key:
    return Key(0).child("availability", node)


def spells(availability: Availability, node: int, until: float) -> list[tuple[float, Spell]]:
    """The node's spells with their starts."""
    found, at, known = [], 0.0, None
    while at < until:
        known = availability.spell(node, at, key(node), known)
        found.append((at, known))
        at = known.end
    return found


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 5), st.lists(st.floats(0, 200), min_size=1, max_size=12))
def test_the_order_of_questions_does_not_matter(availability: Availability, node: int, times: list[float]) -> None:
    alone = {t: availability.spell(node, t, key(node)) for t in times}
    known = None
    for t in sorted(times):
        known = availability.spell(node, t, key(node), known)
        assert known == alone[t]
        assert known.end > t
    clock = VirtualClock()
    presence = WhoIsOn(availability, clock, 0, lambda: 6)
    for t in sorted(times):
        clock.schedule(t, 0, lambda: None)
        assert clock.advance()
        assert presence.spell(node) == alone[t]
        assert presence.on() == [n for n in range(6) if availability.spell(n, t, key(n)).on]


@pytest.mark.parametrize("availability", KINDS, ids=str)
def test_when_a_spell_ends_the_next_one_is_there(availability: Availability) -> None:
    clock = VirtualClock()
    presence = WhoIsOn(availability, clock, 0, lambda: 1)
    for _ in range(5):
        before = presence.spell(0)
        clock.schedule(before.end, 0, lambda: None)
        assert clock.advance()
        assert presence.on() == ([] if before.on else [0])
        assert presence.spell(0).number == before.number + 1


@pytest.mark.parametrize("availability", KINDS, ids=str)
def test_spells_alternate_and_follow_each_other(availability: Availability) -> None:
    found = [s for _, s in spells(availability, 3, 200.0)]
    assert all(a.on != b.on and b.number == a.number + 1 and b.end > a.end for a, b in itertools.pairwise(found))


def test_on_and_off_at_random_have_their_means_and_their_share() -> None:
    availability = OnOff(mean_on=3.0, mean_off=5.0)
    on, off, time_on, nodes, horizon = [], [], 0.0, 40, 800.0
    for node in range(nodes):
        for start, s in spells(availability, node, horizon):
            length = min(s.end, horizon) - start
            time_on += s.on * length
            if s.end < horizon:
                (on if s.on else off).append(length)
    for lengths, mean in ((on, 3.0), (off, 5.0)):
        assert statistics.fmean(lengths) == pytest.approx(mean, abs=3 * mean / math.sqrt(len(lengths)))
        assert statistics.stdev(lengths) == pytest.approx(mean, rel=0.1)
    # The variance of the time on grows by 2 (on off)^2 / (on + off)^3 a second (alternating renewal process).
    deviation = math.sqrt(2 * (3 * 5) ** 2 / 8**3 * horizon * nodes)
    assert time_on == pytest.approx(nodes * horizon * 3 / 8, abs=3 * deviation)


def test_a_node_is_as_likely_on_at_the_start_as_later() -> None:
    availability, n = OnOff(1.0, 3.0), 3000
    for when in (0.0, 0.5, 20.0):
        share = sum(availability.spell(i, when, key(i)).on for i in range(n)) / n
        assert share == pytest.approx(0.25, abs=3 * math.sqrt(0.25 * 0.75 / n))


def test_days_and_nights() -> None:
    zone = DayNight(period=24.0, share=0.25, spread=0.0)
    assert [zone.spell(9, t, key(9)).on for t in (0.0, 5.999, 6.0, 23.999, 24.0, 29.0, 30.0)] == [
        True, True, False, False, True, True, False,
    ]  # fmt: skip
    world, n = DayNight(period=24.0, share=0.25, spread=1.0), 2000
    for when in (0.0, 7.0, 100.0):
        share = sum(world.spell(i, when, key(i)).on for i in range(n)) / n
        assert share == pytest.approx(0.25, abs=3 * math.sqrt(0.25 * 0.75 / n))
    begins = [world.spell(i, 24.0 * 50, key(i)).end % 24.0 for i in range(n)]
    assert len(set(begins)) > n - 5  # every node has a phase of its own ...
    for i in range(50):  # ... and keeps it
        ends = [s.end for _, s in spells(world, i, 24.0 * 20)]
        assert [b - a for a, b in zip(ends, ends[2:], strict=False)] == pytest.approx([24.0] * (len(ends) - 2))


@given(st.floats(0, 1e9), st.integers(0, 10), st.sampled_from([0.1, 1 / 3, 0.7]), st.sampled_from([0.3, 86400.0]))
def test_a_spell_is_over_when_its_end_has_come(when: float, node: int, share: float, period: float) -> None:
    """At the very instant of a spell's end the next one is under way, however times are rounded."""
    days = DayNight(period, share)
    spell = days.spell(node, when, key(node))
    for _ in range(4):
        following = days.spell(node, spell.end, key(node))
        assert following.end > spell.end
        assert (following.on, following.number) == (not spell.on, spell.number + 1)
        spell = following


def test_when_more_nodes_come_on() -> None:
    clock = VirtualClock()
    presence = WhoIsOn(DayNight(10.0, 0.2), clock, 0, lambda: 20)
    there = presence.on()
    ends = sorted(presence.spell(n).end for n in range(20) if n not in there)
    assert [presence.more(k) for k in (1, 2, len(ends))] == [ends[0], ends[1], ends[-1]]
    assert presence.more(len(ends) + 1) == math.inf


def test_pareto_is_heavy_tailed_with_mean_one() -> None:
    draws = [Pareto(3.0).draw(Key(i)) for i in range(20_000)]
    assert min(draws) >= Pareto(3.0).minimum == pytest.approx(2 / 3)
    assert statistics.fmean(draws) == pytest.approx(1.0, abs=3 * math.sqrt(1 / 3 / 20_000))
    for x in (1.0, 2.0, 4.0):
        tail = (2 / 3 / x) ** 3
        assert sum(d > x for d in draws) / 20_000 == pytest.approx(tail, abs=3 * math.sqrt(tail * (1 - tail) / 20_000))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: OnOff(0.0, 1.0), "mean_on"),
        (lambda: OnOff(1.0, math.inf), "mean_off"),
        (lambda: DayNight(share=1.0), "Always"),
        (lambda: DayNight(spread=1.5), "spread"),
        (lambda: DayNight(period=math.nan), "period"),
        (lambda: Pareto(1.0), "above 1"),
        (lambda: CostModel(IDEAL.links, IDEAL.device, availability=OnOff), "availability"),
        (lambda: CostModel(IDEAL.links, IDEAL.device, availability=0.5), "OnOff"),
        (lambda: CostModel(IDEAL.links, IDEAL.device, dropout=1.0), "dropout"),
        (lambda: CostModel(IDEAL.links, IDEAL.device, dropout=-0.1), "dropout"),
    ],
)
def test_nonsense_is_refused(make, says) -> None:
    with pytest.raises(BadInput, match=says):
        make()


def test_always_is_what_a_network_has_that_says_nothing() -> None:
    assert Always() == IDEAL.availability
    assert IDEAL.dropout == 0
