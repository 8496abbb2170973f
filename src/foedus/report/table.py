"""The comparison table: quality and costs side by side, one row a setting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from statistics import fmean

from foedus.core.records.run import Record
from foedus.report.likeness import MARK, mark, said
from foedus.report.looks import Style
from foedus.report.markup import swatch, text
from foedus.report.seeds import within_spread
from foedus.report.summary import MANY, TOGETHER, Comparison, Summary, time_head
from foedus.report.units import MISSING, human_bytes, human_count, human_seconds
from foedus.report.verdict import plural


@dataclass(frozen=True)
class _Column:
    """One kind of cost: its head, how to read it off a record and how to write it."""

    head: str
    read: Callable[[Record], float]
    write: Callable[[float | None], str]


_ROWS = 24
"""Rows that are shown at once; where there are more, the rest folds away."""
_TIME = "virtual time"
_COSTS = (
    _Column("rounds", lambda r: r.round, human_count),
    _Column("sent up", lambda r: r.bytes_up, human_bytes),
    _Column("sent down", lambda r: r.bytes_down, human_bytes),
    _Column("local epochs", lambda r: r.epochs, human_count),
    _Column(_TIME, lambda r: r.clock_s, human_seconds),
)
_TO_TARGET = (
    _Column("rounds", lambda r: r.round, human_count),
    _Column("traffic", lambda r: r.bytes_up + r.bytes_down, human_bytes),
    _Column("epochs", lambda r: r.epochs, human_count),
    _Column("time", lambda r: r.clock_s, human_seconds),
)


def table(c: Comparison, looks: dict[str, Style]) -> str:
    """The section as HTML. On a phone every row becomes a card, so the roles are spelled out for screen readers."""
    quality = c.metric.label if c.metric else "quality"
    goal = c.metric.target_text(c.target) if c.metric and c.target is not None else ""
    costs = (time_head(c.shown) if k.head == _TIME else k.head for k in _COSTS)
    heads = [f"final {quality}", f"best {quality}", *costs]
    top = "".join(head(h, rowspan=2) for h in heads)
    second = ""
    if goal:
        top += head(f"to reach {goal}", colspan=len(_TO_TARGET))
        second = "".join(head(k.head, css="first" if i == 0 else "") for i, k in enumerate(_TO_TARGET))
    heading = (
        f'<thead role="rowgroup"><tr role="row">{head("program", rowspan=2, css="who")}{top}</tr>'
        f'<tr role="row">{second}</tr></thead>'
    )
    rows = [_row(c, s, looks[s.label], quality, goal) for s in c.ranked]
    first = _ROWS if len(rows) > _ROWS + 1 else len(rows)
    css = "compare" if len(rows) <= MANY else "compare tight"
    parts = [
        f'<table class="{css}" role="table">{heading}<tbody role="rowgroup">{"".join(some)}</tbody></table>'
        for some in (rows[:first], rows[first:])
        if some
    ]
    if len(parts) > 1:
        parts[1] = f"<details><summary>The other {len(rows) - first:,}</summary>{parts[1]}</details>"
    alike = "".join(
        f'<p class="{"small odd" if sentence.startswith(MARK) else "small"}">{text(sentence)}</p>'
        for sentence in said(c)
    )
    return f'<h2>Side by side</h2>{"".join(parts)}<p class="small">{text(_explain(c, quality, goal))}</p>{alike}'


def head(words: str, *, rowspan: int = 1, colspan: int = 1, css: str = "") -> str:
    """A column's head as HTML."""
    scope, inner = ("colgroup", f"<span>{text(words)}</span>") if colspan > 1 else ("col", text(words))
    spans = (f' rowspan="{rowspan}"' if rowspan > 1 else "") + (f' colspan="{colspan}"' if colspan > 1 else "")
    css = "goal" if colspan > 1 else css
    return f'<th scope="{scope}" role="columnheader"{spans}{f" class={css}" if css else ""}>{inner}</th>'


def _row(c: Comparison, s: Summary, look: Style, quality: str, goal: str) -> str:
    final, best = (c.metric.spread_text(s.finals), c.metric.text(s.best)) if c.metric else (MISSING, MISSING)
    sign = mark(c, s)
    cells = [cell(f"final {quality}", final, sign=sign), cell(f"best {quality}", best, sign=sign)]
    cells += [cell(k.head, k.write(k.read(s.last))) for k in _COSTS]
    for i, k in enumerate(_TO_TARGET if goal else ()):
        css = "first" if i == 0 else ""
        if s.reached is None:
            cells.append(cell(f"{k.head} to {goal}", MISSING, f"{css} none"))
        else:
            least = " least" if _least(c, s, k.read) else ""
            some = s.reached_by if i == 0 else ""
            cells.append(cell(f"{k.head} to {goal}", k.write(k.read(s.reached)), css + least, some))
    # Where every row has as many, the text below the table says it once.
    seeds = f"<small>{plural(s.n, 'seed')}</small>" if len({o.n for o in c.programs}) > 1 else ""
    who = f'<th scope="row" class="who" role="rowheader">{swatch(look)}<span>{escape(s.label)}{seeds}</span></th>'
    return f'<tr role="row">{who}{"".join(cells)}</tr>'


def cell(head: str, value: str, css: str = "", note: str = "", sign: str = "") -> str:
    """A cell as HTML; ``note`` stands below its value, ``sign`` behind it, ``head`` before it where a row is a card."""
    css = f' class="{css.strip()}"' if css.strip() else ""
    shown = f"<span>{text(value)} <small>{text(note)}</small></span>" if note else text(value)
    shown += f' <span class="sign">{text(sign)}</span>' if sign else ""
    return f'<td role="cell" data-label="{text(head)}"{css}>{shown}</td>'


def _least(c: Comparison, s: Summary, read: Callable[[Record], float]) -> bool:
    """True if all seeds of this federated program got to the target, for less than those of every other that did.

    A difference within the spread over seeds is none.
    """
    if s.role != TOGETHER or len(s.reaching) < s.n:
        return False
    ours = [read(r) for r in s.reaching]
    rivals = [[read(r) for r in o.reaching] for o in c.with_role(TOGETHER) if o.reaching and o is not s]
    return bool(rivals) and all(fmean(ours) < fmean(o) and not within_spread(ours, o) for o in rivals)


def _explain(c: Comparison, quality: str, goal: str) -> str:
    words = "Bytes are sums over all nodes; one local epoch is as much work as one pass over all rows of all nodes."
    if any(s.n > 1 for s in c.programs):
        same = len({s.n for s in c.programs}) == 1
        rows = f"Every row is {c.programs[0].n} seeds" if same else "Of several seeds"
        words += (
            f" {rows}: final {quality} is the mean ± "
            "the standard deviation over seeds, everything else a mean"
            f"{', what it took to reach the target over the seeds that did' if goal else ''}."
        )
    if len(c.ranked) > MANY:
        words = f"The best at the end come first. {words}"
    if not goal or c.metric is None:
        return words
    best = c.metric.best([s.best for s in c.with_role(TOGETHER) if s.best is not None])
    why = f"; the best of any federated program was {c.metric.text(best)}" if best is not None else ""
    bold = any(_least(c, s, k.read) for s in c.programs for k in _TO_TARGET)
    mark = "Bold is the federated program that spent least. " if bold else ""
    return f"“To reach {goal}” is what a program had spent when its {quality} first got there{why}. {mark}{words}"
