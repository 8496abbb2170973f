"""The answer in words: what working together bought, and what it cost. Every number is computed from the runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from foedus.core.records.run import Record, grew
from foedus.report.seeds import sd, within_spread
from foedus.report.summary import ALONE, POOLED, TOGETHER, Comparison, Metric, Summary, network_name
from foedus.report.units import MISSING, human_bytes, human_count, human_seconds, percent, times

_TROUBLES = 6
"""Sentences about runs that did not finish, at most."""


@dataclass(frozen=True)
class Tile:
    """One big number: the number and its unit, what it is, and one line of context."""

    number: str
    what: str
    context: str = ""
    unit: str = ""


def plural(n: float, word: str) -> str:
    """A count and its word.

    >>> plural(1, "round"), plural(50, "round")
    ('1 round', '50 rounds')
    """
    return f"{human_count(n)} {word}" + ("" if n == 1 else "s")


def verdict(c: Comparison) -> str:
    """One or two sentences: quality together, alone and pooled, as far as known, and the price."""
    if c.metric is None:
        spent = [f"{s.label} spent {plural(s.last.round, 'round')} and {human_bytes(s.bytes)}" for s in c.programs[:4]]
        return "Nothing was evaluated, so nothing can be said about quality. " + "; ".join(spent) + "."
    chosen = c.chosen
    if chosen is None:
        said = [f"{s.who} reached {_reached(c.metric, s)}" for s in c.ranked if c.counts(s)][:4]
        diverged = [s.label for s in c.programs if s.role == TOGETHER and s.diverged]
        why = (
            f"{join(diverged)} diverged, so that nothing can be said of what working together brings."
            if diverged
            else "No program here worked together and was evaluated."
        )
        return f"{why} {_sentence('; '.join(said) + '.')}" if said else why
    return f"{_quality(c, chosen)} It cost {_price(c, chosen)}.{_means(c)}"


def _quality(c: Comparison, chosen: Summary) -> str:
    metric = c.metric
    assert metric is not None
    assert chosen.final is not None
    alone, pooled = c.with_role(ALONE), c.with_role(POOLED)
    name = f"{metric.label} of {metric.text(chosen.final)}"
    against = f", against {metric.text(pooled[0].final)} with all data in one place" if pooled else ""
    if pooled and within_spread(chosen.finals, pooled[0].finals):
        against += ", a difference within the spread over seeds"
    if not alone:
        return f"Working together, {chosen.label} reached {'an ' if metric.share else ''}{name}{against}."
    before, after = metric.text(alone[0].final), metric.text(chosen.final)
    assert alone[0].final is not None
    if within_spread(chosen.finals, alone[0].finals):
        return (
            f"Working together made no difference beyond the spread over seeds: {metric.label} was {before} with each "
            f"node alone and {after} together{against}."
        )
    if before == after:
        return f"Working together changed nothing: {metric.label} stayed at {after}, as with each node alone{against}."
    if metric.better(chosen.final, alone[0].final):
        return f"Working together took {metric.label} from {before} (each node alone) to {after}{against}."
    return f"Working together did not pay: {metric.label} went from {before} (each node alone) to {after}{against}."


def _means(c: Comparison) -> str:
    seeds = sorted({s.n for s in c.programs})
    if seeds[-1] == 1:
        return ""
    return f" Numbers are means over {f'{seeds[0]} to ' if len(seeds) > 1 else ''}{seeds[-1]} seeds."


def _price(c: Comparison, s: Summary) -> str:
    nodes = max(1, s.run.nodes)
    up, down = human_bytes(s.last.bytes_up / nodes), human_bytes(s.last.bytes_down / nodes)
    where = "" if c.network is None else f" on {network_name(c.network)}"
    clock = f" and {human_seconds(s.last.virtual_s)} of virtual time{where}" if s.last.virtual_s > 0 else ""
    return f"{up} up and {down} down per node, in {plural(s.last.round, 'round')}{clock}"


def _reached(metric: Metric, s: Summary) -> str:
    return f"{metric.text(s.final)} {metric.label}" if metric.share else f"{metric.label} {metric.text(s.final)}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def troubles(c: Comparison) -> list[str]:
    """One sentence for every setting of which a run did not finish by itself, then the notices of runs."""
    said = {
        "diverged": "diverged (loss or update became NaN or infinite; its last good model was kept)",
        "failed": "failed",
        "interrupted": "was interrupted",
        "stopped": "was stopped by a rule",
    }
    found = []
    for s in c.everywhere:
        for status in dict.fromkeys(run.status for run in s.runs if run.status != "finished"):
            ended = [run for run in s.runs if run.status == status]
            rounds = fmean(run.history[-1].round if run.history else 0 for run in ended)
            some = "" if s.n == 1 else f" with {len(ended)} of {s.n} seeds"
            mean = " (mean)" if len(ended) > 1 else ""
            found.append(
                f"{s.label}{some} {said.get(status, f'ended as {status!r}')} after {plural(rounds, 'round')}{mean}."
            )
    if len(found) > _TROUBLES:
        found[_TROUBLES - 1 :] = [f"{len(found) - _TROUBLES + 1} more did not finish by themselves."]
    said_of: dict[str, list[str]] = {}
    for s in c.everywhere:
        for notice in notices(s):
            said_of.setdefault(notice, []).append(s.label)
    return found + [f"{join(labels)}: {notice}" for notice, labels in list(said_of.items())[:_TROUBLES]]


def notices(s: Summary) -> list[str]:
    """What a reader should know of a setting's runs, each notice once."""
    grown = (grew(*run.grown) for run in s.runs if run.grown is not None)
    return list(dict.fromkeys([*(str(n) for run in s.runs for n in run.notices), *grown]))


@dataclass(frozen=True)
class Price:
    """One kind of cost: how to read it off a record, how to write it in a sentence, and how to repeat it shortly."""

    read: Callable[[Record], float]
    full: Callable[[float], str]
    short: Callable[[float], str]


TRAFFIC = Price(lambda r: r.bytes_up + r.bytes_down, lambda n: f"{human_bytes(n)} of traffic", human_bytes)
ROUNDS = Price(lambda r: r.round, lambda n: plural(n, "round"), human_count)
WORK = Price(lambda r: r.epochs, lambda n: f"{plural(n, 'epoch')} of local computation", human_count)
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
    missed = [s.label for s in together if s.reached is None]
    never = f" {join(missed)} never got there." if missed else ""
    return f"To reach {goal}, {'; '.join(_needed(there, p) for p in prices)}.{never}"


def _needed(there: Sequence[Summary], price: Price) -> str:
    spent = sorted(((fmean(_spent(s, price)), s) for s in there), key=lambda p: p[0])
    (least, first), (most, last) = spent[0], spent[-1]
    some = f" ({first.reached_by})" if first.reached_by else ""
    if len(spent) == 1:
        return f"{first.label} needed {price.full(least)}{some}"
    if most == least:
        return f"{join([s.label for _, s in spent])} needed {price.full(least)} each"
    factor = f"{times(most, least)} that" if least > 0 and most / least >= 1.05 else ""
    if within_spread(_spent(first, price), _spent(last, price)):
        factor = "within the spread over seeds"
    notes = ", ".join(n for n in (last.reached_by, factor) if n)
    return (
        f"{first.label} needed {price.full(least)}{some} and {last.label} {price.short(most)}"
        f"{f' ({notes})' if notes else ''}"
    )


def _spent(s: Summary, price: Price) -> list[float]:
    return [float(price.read(r)) for r in s.reaching]


def join(labels: Sequence[str]) -> str:
    """Names as a sentence lists them (at least one); long lists are cut.

    >>> join(["A", "B", "C"]), join(["A", "B", "C", "D"])
    ('A, B and C', 'A, B and 2 others')
    """
    if len(labels) > 3:
        return f"{labels[0]}, {labels[1]} and {len(labels) - 2} others"
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def tiles(c: Comparison) -> list[Tile]:
    """The big numbers of the page's top; fewer where a baseline or the evaluation is missing."""
    s = c.chosen
    metric = c.metric
    if s is None or metric is None or s.final is None:
        return [
            Tile(metric.text(p.final) if metric else MISSING, f"{metric.label if metric else 'quality'}, {p.who}")
            for p in c.ranked
            if metric is None or c.counts(p)
        ][:4]
    context = f"after {plural(s.last.round, 'round')}"
    if len(s.finals) > 1:
        around = f"{100 * sd(s.finals):.1f} points" if metric.share else f"{sd(s.finals):.2g}"
        context += f", ± {around} over {s.n} seeds"
    made = [Tile(metric.text(s.final), f"{metric.label}, {s.label}", context)]
    alone, pooled = c.with_role(ALONE), c.with_role(POOLED)
    if alone and alone[0].final is not None:
        made.append(Tile(_gap(metric, s.final, alone[0].final), "against each node alone", _from(metric, s, alone[0])))
    if pooled and pooled[0].final is not None:
        gap = _gap(metric, s.final, pooled[0].final)
        made.append(Tile(gap, "against all data in one place", _from(metric, s, pooled[0])))
    total = f"{human_bytes(s.last.bytes_up)} up, {human_bytes(s.last.bytes_down)} down in all"
    made.append(Tile(human_bytes(s.bytes / max(1, s.run.nodes)), f"per node, {s.label}", total))
    if s.last.virtual_s > 0:
        where = "" if c.network is None else f" on {network_name(c.network)}"
        made.append(Tile(human_seconds(s.last.virtual_s), f"virtual time{where}, {s.label}", _time_context(s)))
    return made


def _gap(metric: Metric, ours: float, theirs: float) -> str:
    # The difference of what is printed elsewhere, so that a reader who subtracts finds the same.
    gap = (round(100 * ours, 1) - round(100 * theirs, 1)) / 100 if metric.share else ours - theirs
    size = f"{abs(100 * gap):.1f} points" if metric.share else metric.text(abs(gap))
    return f"+{size}" if gap > 0 else f"\N{MINUS SIGN}{size}" if gap < 0 else size


def _from(metric: Metric, ours: Summary, theirs: Summary) -> str:
    noise = ", within the spread over seeds" if within_spread(ours.finals, theirs.finals) else ""
    return f"which reached {metric.text(theirs.final)}{noise}"


def _time_context(s: Summary) -> str:
    shares = time_shares(s.last)
    return f"{percent(shares['compute'], 0)} of node time spent computing" if shares else ""


def time_shares(r: Record) -> dict[str, float] | None:
    """Shares of node-seconds spent in compute, wire and waiting, and, where it was measured, in serialising; None where
    no time was charged."""
    spent = {"compute": r.compute_s, "serial": r.serial_s, "wire": r.wire_s, "waiting": r.waiting_s}
    parts = {name: p if p == p and p > 0 else 0.0 for name, p in spent.items() if name != "serial" or p > 0}
    total = sum(parts.values())
    return None if not 0 < total < float("inf") else {name: p / total for name, p in parts.items()}
