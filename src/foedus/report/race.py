"""The race to the target: which federated program got there for less, by every price, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from foedus.core.records.run import Record
from foedus.report.seeds import within_spread
from foedus.report.summary import TOGETHER, Comparison, Summary
from foedus.report.units import human_bytes, human_seconds, times
from foedus.report.verdict import about, join, plural

_TELLING = 1.05
"""So many times as much is a difference worth a word."""


@dataclass(frozen=True)
class Price:
    """One kind of cost: how to read it off a record, how to write it in a sentence, and how to repeat it shortly."""

    read: Callable[[Record], float]
    full: Callable[[float], str]
    short: Callable[[float], str]


TRAFFIC = Price(lambda r: r.bytes_up + r.bytes_down, lambda n: f"{human_bytes(n)} of traffic", human_bytes)
ROUNDS = Price(lambda r: r.round, lambda n: plural(n, "round"), about)
WORK = Price(lambda r: r.epochs, lambda n: f"{plural(n, 'epoch')} of local computation", about)
CLOCK = Price(lambda r: r.virtual_s, lambda n: f"{human_seconds(n)} of virtual time", human_seconds)


def race(c: Comparison, *prices: Price) -> str:
    """Which federated program reached the target for less of each price, in words; empty where there is none."""
    together = c.with_role(TOGETHER)
    if c.metric is None or c.target is None or not together:
        return ""
    goal = c.metric.target_text(c.target)
    there = [s for s in together if s.reached is not None]
    if not there:
        return f"No federated program reached {goal}."
    told = [p for p in prices if any(x for s in there for x in _spent(s, p))]
    missed = [s.label for s in together if s.reached is None]
    never = f" {join(missed)} never got there." if missed else ""
    if not told:
        return never.lstrip()
    if len(there) == 1:
        [s] = there
        some = f" ({s.reached_by})" if s.reached_by else ""
        needed = join([p.full(fmean(_spent(s, p))) for p in told])
        return f"To reach {goal}, {s.label} needed {needed}{some}.{never}"
    return f"To reach {goal}, {'; '.join(_needed(there, p) for p in told)}.{never}"


def _needed(there: Sequence[Summary], price: Price) -> str:
    """Who needed least, and who most; what is as good as the same is not told apart."""
    spent = sorted(((fmean(_spent(s, price)), s) for s in there), key=lambda p: p[0])
    (least, first), (most, last) = spent[0], spent[-1]
    some = f" ({first.reached_by})" if first.reached_by else ""
    if price.full(most) == price.full(least):
        return f"{join([s.label for _, s in spent])} needed {price.full(least)} each"
    if least > 0 and most < _TELLING * least:
        return f"{join([s.label for _, s in spent])} needed about {price.full(most)}"
    factor = f"{times(most, least)} that" if least > 0 else ""
    if within_spread(_spent(first, price), _spent(last, price)):
        factor = "within the spread over seeds"
    notes = ", ".join(n for n in (last.reached_by, factor) if n)
    return (
        f"{first.label} needed {price.full(least)}{some} and {last.label} {price.short(most)}"
        f"{f' ({notes})' if notes else ''}"
    )


def _spent(s: Summary, price: Price) -> list[float]:
    return [float(price.read(r)) for r in s.reaching]
