"""The answer in words: what working together bought, and what it cost. Every number is computed from the runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from foedus.core.records.run import Record, Run, grew
from foedus.core.words import sentence_list
from foedus.report.summary import ALONE, POOLED, TOGETHER, Comparison, Metric, Summary, network_name
from foedus.report.uncertainty import interval
from foedus.report.units import MISSING, human_bytes, human_count, human_seconds, small
from foedus.report.values import apart, column, from_to, points, signed, usual, value

_NUMBER = re.compile(r"\d[\d.,]*")
_LIARS = 12
"""Dishonest nodes that are listed."""

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
    return f"{about(n)} {word}" + ("" if n == 1 else "s")


def about(n: float) -> str:
    """A count, or a mean of counts with a decimal.

    >>> about(3), about(2.6667), about(0.05), about(12345.6)
    ('3', '2.7', '0.05', '12,346')
    """
    return f"{n:.1f}" if 1 <= n < 100 and n != int(n) else human_count(n)


def verdict(c: Comparison) -> str:
    """A few sentences: quality together, alone and pooled, as far as known, which setting is best, and the price.

    What is claimed of a difference is no more than its interval allows.
    """
    if c.metric is None:
        spent = [f"{s.label} spent {plural(s.last.round, 'round')} and {_sent(s.bytes)}" for s in c.programs[:4]]
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
    said = [_quality(c, c.metric, chosen), _no_better(c.metric, chosen)]
    said += [_best(c, c.metric, chosen), _chance(c, c.metric, chosen)]
    said += [_price(c, chosen), _means(c)]
    return " ".join(sentence for sentence in said if sentence)


def _quality(c: Comparison, metric: Metric, chosen: Summary) -> str:
    ours = value(chosen.runs, metric)
    alone, pooled = (next(iter(c.with_role(role)), None) for role in (ALONE, POOLED))
    reached = f"{chosen.label} reached {_an(metric)} {metric.text(ours)}"
    if alone is None:
        return f"Working together, {reached}{_around(metric, chosen)}{_against(metric, chosen, pooled)}."
    theirs = metric.text(value(alone.runs, metric))
    who = alone_in_words(alone)
    d = apart(chosen, alone, metric)
    if d is None:
        third = "" if pooled is None else f", all data in one place {metric.text(value(pooled.runs, metric))}"
        return f"Working together, {reached}, {who} {theirs}{third}."
    if not d.told:
        why = d.few or f"the 95 % interval of the difference is {from_to(metric, d)}"
        return (
            f"Working together made no difference that can be told: {metric.label} is {metric.text(ours)} with "
            f"{chosen.label} and {theirs} with {who} ({why}){_against(metric, chosen, pooled)}."
        )
    if (d.value > 0) == metric.higher:
        return (
            f"Working together took {metric.label} from {theirs} ({who}) to {metric.text(ours)} ({chosen.label})"
            f"{_against(metric, chosen, pooled)}."
        )
    return (
        f"Working together did not pay: {metric.label} is {metric.text(ours)} with {chosen.label}, worse than the "
        f"{theirs} of {who}{_against(metric, chosen, pooled)}."
    )


def alone_in_words(alone: Summary) -> str:
    """Each node alone, and on which rows its model was judged."""
    return f"each node alone{_on_which_rows(alone)}"


def _on_which_rows(alone: Summary) -> str:
    models = {e.models for e in alone.evaluated_on}
    return {frozenset({"each"}): ", on everybody's rows", frozenset({"own"}): ", on its own rows"}.get(
        frozenset(models), ""
    )


def _an(metric: Metric) -> str:
    return f"{'an' if metric.label[0] in 'aeioAR' else 'a'} {metric.label} of"


def _around(metric: Metric, s: Summary) -> str:
    """The interval of a value that stands by itself."""
    [told] = column([s], metric)
    if told.few:
        return f" ({told.few})"
    return f" (95 % interval {told.interval})" if told.interval else ""


def _against(metric: Metric, ours: Summary, pooled: Summary | None) -> str:
    """How that is beside all data in one place; empty where that was not run."""
    if pooled is None:
        return ""
    theirs, d = metric.text(value(pooled.runs, metric)), apart(ours, pooled, metric)
    if d is not None and d.told:
        better = "better" if (d.value > 0) == metric.higher else "worse"
        return f", {points(metric, d.value)} {better} than all data in one place ({theirs})"
    if d is not None and not d.few:
        return f"; it cannot be told from all data in one place ({theirs})"
    return f", against {theirs} with all data in one place{'' if d is None else ', ' + d.few}"


def _best(c: Comparison, metric: Metric, chosen: Summary) -> str:
    """Which of several settings is best, or how many cannot be told from it and which of those costs least."""
    together, near = c.with_role(TOGETHER), c.level
    if len(together) < 2:
        return ""
    n, what = len(together), "settings" if len({s.run.name for s in together}) == 1 else "programs"
    if near is None:
        return f"That is the {'highest' if metric.higher else 'lowest'} of {n} {what}."
    best, level = near
    if len(level) == 1:
        return f"{best.label} is the best of {n} {what}."
    which = "" if chosen is best else f" ({best.label}, {metric.text(value(best.runs, metric))})"
    if len(level) == n:
        said = f"{'Both' if n == 2 else f'All {n}'} {what} are level, as far as can be told"
    else:
        said = f"{len(level)} of {n} {what} are level with the best{which}, as far as can be told"
    same = len({(s.bytes, s.last.epochs) for s in level}) == 1
    return f"{said}{'' if same else f'; of these {chosen.label} costs least'}."


def _no_better(metric: Metric, s: Summary) -> str:
    """That a program does not beat an answer which is the same for all rows, where that cannot be told."""
    least, ours, around = usual(s.runs, metric), value(s.runs, metric), interval(s.runs, metric.field)
    if least is None or ours is None:
        return ""
    end = ours if around is None else around.low if metric.higher else around.high
    if metric.better(end, least):
        return ""
    what = "the targets' mean" if s.run.label_counts is None else "always the commonest class"
    how = "is no better than" if not metric.better(ours, least) else "cannot be told from"
    return f"That {how} the same answer for all rows ({what}: {metric.text(least)})."


def _chance(c: Comparison, metric: Metric, chosen: Summary) -> str:
    """That single runs of which nothing is known about chance claim nothing."""
    others = [s for s in c.programs if c.counts(s) and s is not chosen]
    unknown = any(apart(chosen, s, metric) is None for s in others)
    return "How much of a difference is chance these runs do not tell." if unknown else ""


def _means(c: Comparison) -> str:
    seeds = sorted({s.n for s in c.programs})
    if seeds[-1] == 1:
        return ""
    return f"Numbers are means over {f'{seeds[0]} to ' if len(seeds) > 1 else ''}{seeds[-1]} seeds."


def _price(c: Comparison, s: Summary) -> str:
    nodes = max(1, s.run.nodes)
    up, down = human_bytes(s.last.bytes_up / nodes), human_bytes(s.last.bytes_down / nodes)
    where = "" if c.network is None else f" on {network_name(c.network)}"
    clock = f" and {human_seconds(s.last.virtual_s)} of virtual time{where}" if s.last.virtual_s > 0 else ""
    spent = f"{plural(s.last.round, 'round')}{clock}"
    return f"It cost {up} up and {down} down per node, in {spent}." if s.bytes else f"It sent nothing, in {spent}."


def _sent(n: float) -> str:
    return human_bytes(n) if n else "sent nothing"


def _reached(metric: Metric, s: Summary) -> str:
    reached = metric.text(value(s.runs, metric))
    return f"{reached} {metric.label}" if metric.share else f"{metric.label} {reached}"


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
    """What a reader should know of a setting's runs, each notice once; those that differ in numbers are one."""
    grown = (grew(*run.grown) for run in s.runs if run.grown is not None)
    lied = (_lied(run) for run in s.runs if run.dishonest)
    alike: dict[str, list[str]] = {}
    for notice in dict.fromkeys([*lied, *(str(n) for run in s.runs for n in run.notices), *grown]):
        alike.setdefault(_NUMBER.sub("", notice), []).append(notice)
    return [
        first + (f" (and the like with {plural(len(more), 'other seed')})" if more else "")
        for first, *more in alike.values()
    ]


def _lied(run: Run) -> str:
    """Who was dishonest."""
    names = [str(n) if run.node_names is None else run.node_names[n] for n in run.dishonest]
    more = len(names) - _LIARS
    listed = ", ".join(names[:_LIARS]) + (f" and {more} more" if more > 0 else "")
    return f"{plural(len(names), 'node')} of {run.nodes:,} {'was' if len(names) == 1 else 'were'} dishonest ({listed})"


def join(labels: Sequence[str]) -> str:
    """Names as a sentence lists them (at least one); long lists are cut.

    >>> join(["A", "B", "C"]), join(["A", "B", "C", "D"])
    ('A, B and C', 'A, B and 2 others')
    """
    if len(labels) > 3:
        return f"{labels[0]}, {labels[1]} and {len(labels) - 2} others"
    return sentence_list(labels)


def tiles(c: Comparison) -> list[Tile]:
    """The big numbers of the page's top; fewer where a baseline or the evaluation is missing."""
    s = c.chosen
    metric = c.metric
    if s is None or metric is None:
        return [
            Tile(
                metric.text(value(p.runs, metric)) if metric else MISSING,
                f"{metric.label if metric else 'quality'}, {p.who}",
            )
            for p in c.ranked
            if metric is None or c.counts(p)
        ][:4]
    [told] = column([s], metric)
    context = told.few or (
        f"95 % interval {told.interval}" if told.interval else f"after {plural(s.last.round, 'round')}"
    )
    made = [Tile(told.value, f"{metric.label}, {s.label}", context)]
    alone, pooled = (next(iter(c.with_role(role)), None) for role in (ALONE, POOLED))
    if alone is not None:
        made.append(_gap(metric, s, alone, f"against {alone_in_words(alone)}"))
    if pooled is not None:
        made.append(_gap(metric, s, pooled, "against all data in one place"))
    if s.bytes:
        total = f"{human_bytes(s.last.bytes_up)} up, {human_bytes(s.last.bytes_down)} down in all"
        made.append(Tile(human_bytes(s.bytes / max(1, s.run.nodes)), f"per node, {s.label}", total))
    if s.last.virtual_s > 0:
        where = "" if c.network is None else f" on {network_name(c.network)}"
        made.append(Tile(human_seconds(s.last.virtual_s), f"virtual time{where}, {s.label}", _time_context(s)))
    return made


def _gap(metric: Metric, ours: Summary, theirs: Summary, what: str) -> Tile:
    """The difference of what is printed elsewhere, so that a reader who subtracts finds the same."""
    a, b = (value(s.runs, metric) or 0.0 for s in (ours, theirs))
    gap = (round(100 * a, 1) - round(100 * b, 1)) / 100 if metric.share else a - b
    number = signed(metric, gap)
    d = apart(ours, theirs, metric)
    told = "" if d is None or d.told else f"; {d.few or 'no difference that can be told'}"
    lower = "" if metric.higher or number == points(metric, 0.0) else ", lower is better"
    return Tile(number, f"{what}{lower}", f"which reached {metric.text(b)}{told}")


def _time_context(s: Summary) -> str:
    shares = time_shares(s.last)
    return f"{small(shares['compute'])} of node time spent computing" if shares else ""


def time_shares(r: Record) -> dict[str, float] | None:
    """Shares of node-seconds spent in compute, wire and waiting, and, where it was measured, in serialising; None where
    no time was charged."""
    spent = {"compute": r.compute_s, "serial": r.serial_s, "wire": r.wire_s, "waiting": r.waiting_s}
    parts = {name: p if p == p and p > 0 else 0.0 for name, p in spent.items() if name != "serial" or p > 0}
    total = sum(parts.values())
    return None if not 0 < total < float("inf") else {name: p / total for name, p in parts.items()}
