"""Which program fits which network: the virtual time to the target on each, side by side and in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean

from foedus.core.records.run import Record
from foedus.core.words import sentence_list
from foedus.report.looks import Style
from foedus.report.markup import swatch, text
from foedus.report.seeds import within_spread
from foedus.report.summary import TOGETHER, Comparison, Metric, Summary, network_name
from foedus.report.table import cell, head
from foedus.report.terminal import Column, Grid
from foedus.report.units import fewer, human_bytes, human_seconds, percent
from foedus.report.verdict import join, time_shares

TITLE = "Which fits which network"
NEVER, NOT_RUN = "never", "not run"
_TELLING = 1.05
"""So many times as much is a difference worth a word."""


@dataclass(frozen=True, eq=False)
class Fit:
    """The federated programs on every network, and who gets to the target first on each.

    ``of``     a program's summary on a network, by (subject, network).
    ``first``  by network: the program that gets there first, and those that are level with it.
    """

    metric: Metric
    target: float
    networks: tuple[str, ...]
    subjects: tuple[str, ...]
    of: dict[tuple[str, str], Summary]
    first: dict[str, tuple[Summary, ...]]

    @property
    def goal(self) -> str:
        """The target as people read it."""
        return self.metric.target_text(self.target)

    def leads(self, s: Summary) -> bool:
        """True if it gets to the target first on its network, where there is another that could."""
        assert s.network is not None
        rivals = [o for (_, n), o in self.of.items() if n == s.network]
        return len(rivals) > 1 and any(s is o for o in self.first[s.network])


def fit(c: Comparison) -> Fit | None:
    """Who is first where; None where settings do not differ in the network, or nothing federated was evaluated."""
    if not c.networks or c.metric is None or c.target is None:
        return None
    of = {(s.subject, s.network): s for s in c.everywhere if s.network and s.role == TOGETHER and c.counts(s)}
    if not of:
        return None
    first = {n: _first([s for (_, there), s in of.items() if there == n]) for n in c.networks}
    return Fit(c.metric, c.target, c.networks, tuple(dict.fromkeys(p for p, _ in of)), of, first)


def _first(there: Sequence[Summary]) -> tuple[Summary, ...]:
    """Those of all of whose seeds got there come before those of some."""
    arrived = [s for s in there if len(s.reaching) == s.n] or [s for s in there if s.reaching]
    if not arrived:
        return ()
    arrived.sort(key=lambda s: (_mean(s, _clock), s.subject))
    best = arrived[0]
    return tuple(s for s in arrived if s is best or _level(s, best, _clock))


def _clock(r: Record) -> float:
    return r.virtual_s


def _sent(r: Record) -> float:
    return r.bytes_up + r.bytes_down


def _spent(s: Summary, read: Callable[[Record], float]) -> list[float]:
    return [float(read(r)) for r in s.reaching]


def _mean(s: Summary, read: Callable[[Record], float]) -> float:
    return fmean(_spent(s, read))


def _level(a: Summary, b: Summary, read: Callable[[Record], float]) -> bool:
    """Within the spread over seeds, or the same in the digits that are shown."""
    near = within_spread(_spent(a, read), _spent(b, read))
    return near or human_seconds(_mean(a, read)) == human_seconds(_mean(b, read))


# -- the sentence ------------------------------------------------------------------------------------------------------


def sentence(f: Fit) -> str:
    """Which program gets to the target first on which network, why as far as the books tell, and which never does."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for n in f.networks:
        groups.setdefault(tuple(sorted(s.subject for s in f.first[n])), []).append(n)
    if list(groups) == [()]:
        return f"No program gets to {f.goal} on {_any(f.networks)}."
    if len(groups) == 1 and len(f.networks) > 1:
        said = _everywhere(f)
    else:
        parts = []
        begun = False  # whether it has been said what is gone for
        for who, networks in groups.items():
            parts.append(_part(f, who, networks, begun))
            begun = begun or bool(who)
        said = "; ".join(parts)
    return " ".join([f"O{said.removeprefix('o')}.", *_missing(f)])


def _any(networks: Sequence[str]) -> str:
    return "either network" if len(networks) == 2 else "any network"


def _everywhere(f: Fit) -> str:
    """One program, or the same level ones, on all networks."""
    who = [s.subject for s in f.first[f.networks[0]]]
    names = join(sorted(who))
    on = "on both networks" if len(f.networks) == 2 else "on every network"
    each = sentence_list([f"{_times(f.first[n])} on {network_name(n)}" for n in f.networks])
    if len(f.subjects) == 1:
        return f"on {sentence_list([network_name(n) for n in f.networks])} {names} gets to {f.goal} in {_each_time(f)}"
    if len(who) == 1:
        return f"{on} {names} gets to {f.goal} first: {each}"
    return f"{on} {names} get to {f.goal} first and are level{_within(f, f.networks)}: {each}"


def _each_time(f: Fit) -> str:
    return sentence_list([_times(f.first[n]) for n in f.networks])


def _part(f: Fit, who: tuple[str, ...], networks: Sequence[str], begun: bool) -> str:
    on = f"on {sentence_list([network_name(n) for n in networks])}"
    if not who:
        return f"{on} none does" if begun else f"{on} no program gets to {f.goal}"
    times_ = ", ".join(_times(f.first[n]) for n in networks)
    if len(who) == 1:
        done = "does" if begun else f"gets to {f.goal} first"
        return f"{on} {who[0]} {done} ({times_}){_reason(f, who[0], networks)}"
    done = "do" if begun else f"get to {f.goal} first"
    return f"{on} {join(who)} {done} ({times_}), level{_within(f, networks)}"


def _times(first: Sequence[Summary]) -> str:
    """Their times, each with how many seeds got there where that is not all."""
    said = []
    for s in sorted(first, key=lambda s: s.subject):
        some = f" with {s.reached_by}" if s.reached_by else ""
        said.append(f"{human_seconds(_mean(s, _clock))}{some}")
    return sentence_list(list(dict.fromkeys(said)))


def _within(f: Fit, networks: Sequence[str]) -> str:
    many = all(s.n > 1 for n in networks for s in f.first[n])
    return " within the spread over seeds" if many else ""


def _reason(f: Fit, subject: str, networks: Sequence[str]) -> str:
    """What it spends less of, on all of these networks, than the one that is first on the network before them all."""
    before = next(f.first[n] for n in f.networks if f.first[n])
    if len(before) != 1 or before[0].subject == subject:
        return ""
    pairs = []
    for n in networks:
        other, ours = f.of.get((before[0].subject, n)), f.of[subject, n]
        if other is None or not other.reaching:
            return ""
        pairs.append((other, ours))
    less, fewer = _saving(pairs, _sent), _saving(pairs, lambda r: r.round)
    if less:
        return f", for it sends {less} less" + (f", in {fewer} fewer rounds" if fewer else "")
    if fewer:
        return f", for it needs {fewer} fewer rounds"
    return _patience(pairs)


def _saving(pairs: Sequence[tuple[Summary, Summary]], read: Callable[[Record], float]) -> str:
    """By how many times ours is less, where it is on every network: the least of them."""
    found = []
    for other, ours in pairs:
        most, least = _mean(other, read), _mean(ours, read)
        if least <= 0 or most < _TELLING * least or within_spread(_spent(other, read), _spent(ours, read)):
            return ""
        found.append((most / least, most, least))
    _, most, least = min(found)
    return fewer(most, least)


def _patience(pairs: Sequence[tuple[Summary, Summary]]) -> str:
    shares = []
    for other, ours in pairs:
        a, b = (None if s.reached is None else time_shares(s.reached) for s in (other, ours))
        if a is None or b is None or a["waiting"] < b["waiting"] + 0.1:
            return ""
        shares.append((a["waiting"], b["waiting"]))
    (most, least), *more = shares
    told = "" if more else f": {percent(least, 0)} of their time, not {percent(most, 0)}"
    return f", for its nodes wait less{told}"


def _missing(f: Fit) -> list[str]:
    """Which programs do not get there where others do, and which were not run."""
    never: list[str] = []
    nowhere: list[str] = []
    said = []
    for p in sorted(f.subjects):
        run = [n for n in f.networks if (p, n) in f.of]
        without = [n for n in run if not f.of[p, n].reaching]
        if without == run:
            never.append(p)
        elif told := [n for n in without if f.first[n]]:
            nowhere.append(f"{p} does not get there on {sentence_list([network_name(n) for n in told])}.")
        some = {s.reached_by for n in run if (s := f.of[p, n]).reached_by and s not in f.first[n]}
        if some:
            said.append(f"{p} gets there with {some.pop() if len(some) == 1 else 'some of its seeds'} only.")
        if absent := [n for n in f.networks if n not in run]:
            said.append(f"{p} was not run on {sentence_list([network_name(n) for n in absent])}.")
    if never:
        said.insert(0, f"{join(never)} never {'gets' if len(never) == 1 else 'get'} there.")
    return [*nowhere, *said]


# -- the tables --------------------------------------------------------------------------------------------------------


def networks(c: Comparison, looks: dict[str, Style]) -> str:
    """The section as HTML; empty where settings do not differ in the network."""
    f = fit(c)
    if f is None:
        return ""
    look = {s.subject: looks[s.label] for s in c.programs if s.network is not None}
    top = "".join(head(network_name(n)) for n in f.networks)
    rows = []
    for p in f.subjects:
        cells = "".join(_cell(f, p, n) for n in f.networks)
        who = f'<th scope="row" class="who" role="rowheader">{swatch(look[p])}<span>{escape(p)}</span></th>'
        rows.append(f'<tr role="row">{who}{cells}</tr>')
    heads = f'<tr role="row">{head("program", css="who")}{top}</tr>'
    return (
        f'<h2>{TITLE}</h2><p class="lead">{text(sentence(f))}</p>'
        f'<div class="scroll"><table class="compare fits" role="table"><thead role="rowgroup">{heads}</thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table></div>'
        f'<p class="small">{text(_explain(c, f))}</p>'
    )


def _cell(f: Fit, subject: str, network: str) -> str:
    s = f.of.get((subject, network))
    name = network_name(network)
    if s is None:
        return cell(name, NOT_RUN, "none")
    if s.reached is None:
        return cell(name, NEVER, "none", f"got to {f.metric.text(s.most)}")
    some = f", {s.reached_by}" if s.reached_by else ""
    css = "least" if f.leads(s) else ""
    return cell(name, human_seconds(s.reached.virtual_s), css, f"{human_bytes(_sent(s.reached))}{some}")


def _explain(c: Comparison, f: Fit) -> str:
    many = any(s.n > 1 for s in f.of.values())
    means = ", means over the seeds that got there" if many else ""
    words = f"Virtual time until {f.metric.label} first reached {f.goal}, and bytes sent by then{means}."
    if any(f.leads(s) for s in f.of.values()):
        level = ", and whatever is level with it within the spread over seeds" if many else ""
        partly = "; who gets there with all seeds comes before who does with some"
        words += (
            f" Bold is the first on its network{level}{partly if any(s.reached_by for s in f.of.values()) else ''}."
        )
    return f"{words} {rest_is_on(c)}"


def rest_is_on(c: Comparison) -> str:
    """On which network the rest of the comparison is; empty where settings do not differ in it."""
    return "" if c.network is None else f"All else is told as it was on {network_name(c.network)}."


def signs(f: Fit) -> str:
    """What stands beside times in the terminal's table."""
    said = ["* is the first there"] if any(f.leads(s) for s in f.of.values()) else []
    partly = next((s for s in f.of.values() if s.reached_by), None)
    if partly is not None:
        said.append(f"({len(partly.reaching)}/{partly.n}) is with {partly.reached_by}")
    return f"{', '.join(said)}." if said else ""


def network_grid(f: Fit) -> Grid:
    """The same table for a terminal: a star stands where the page has bold."""
    columns = [Column("program", f.subjects, left=True)]
    stars = any(f.leads(s) for s in f.of.values())
    for n in f.networks:
        columns.append(Column(f"to {f.goal}\n{network_name(n)}", tuple(_time(f, p, n, stars) for p in f.subjects)))
    for i, n in enumerate(f.networks):
        columns.append(Column(f"sent on\n{network_name(n)}", tuple(_bytes(f, p, n) for p in f.subjects), 1 + i))
    return Grid(tuple(columns))


def _time(f: Fit, subject: str, network: str, stars: bool) -> str:
    s = f.of.get((subject, network))
    shown = NOT_RUN if s is None else NEVER if s.reached is None else human_seconds(s.reached.virtual_s)
    if s is not None and s.reached_by:
        shown += f" ({len(s.reaching)}/{s.n})"
    return shown + (" *" if s is not None and f.leads(s) else "  " if stars else "")


def _bytes(f: Fit, subject: str, network: str) -> str:
    s = f.of.get((subject, network))
    return human_bytes(None if s is None or s.reached is None else _sent(s.reached))
