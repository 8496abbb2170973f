"""The comparison table: quality and costs side by side, one row a setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean

from foedus.core.records.run import Record
from foedus.report.likeness import MARK, mark, said
from foedus.report.looks import Style
from foedus.report.markup import swatch, text
from foedus.report.seeds import within_spread
from foedus.report.summary import MANY, NAMES, TOGETHER, Comparison, Summary, time_head
from foedus.report.units import MISSING, bytes_column, counts_column, seconds_column
from foedus.report.values import column, covers, shown_metrics
from foedus.report.verdict import plural


@dataclass(frozen=True)
class _Column:
    """One kind of cost: its head, how to read it off a record and how a column of it is written."""

    head: str
    read: Callable[[Record], float]
    write: Callable[[Sequence[float | None]], list[str]]


_ROWS = 24
"""Rows that are shown at once; where there are more, the rest folds away."""
_TIME = "virtual time"
_COSTS = (
    _Column("rounds", lambda r: r.round, counts_column),
    _Column("sent up", lambda r: r.bytes_up, bytes_column),
    _Column("sent down", lambda r: r.bytes_down, bytes_column),
    _Column("local epochs", lambda r: r.epochs, counts_column),
    _Column(_TIME, lambda r: r.clock_s, seconds_column),
)
_TO_TARGET = (
    _Column("rounds", lambda r: r.round, counts_column),
    _Column("traffic", lambda r: r.bytes_up + r.bytes_down, bytes_column),
    _Column("epochs", lambda r: r.epochs, counts_column),
    _Column("time", lambda r: r.clock_s, seconds_column),
)


def table(c: Comparison, looks: dict[str, Style]) -> str:
    """The section as HTML: how good, and at what cost. On a phone every row becomes a card, so the roles are spelled
    out for screen readers.
    """
    parts = [_table(c, looks, "values", *_quality(c))] if c.metric is not None else []
    parts.append(_table(c, looks, "costs", *_costs(c)))
    alike = "".join(
        f'<p class="{"small odd" if sentence.startswith(MARK) else "small"}">{text(sentence)}</p>'
        for sentence in said(c)
    )
    return f"<h2>Side by side</h2>{''.join(parts)}{alike}"


def _table(
    c: Comparison, looks: dict[str, Style], css: str, heading: str, cells: Sequence[Sequence[str]], words: str
) -> str:
    """One table with a row a setting, and what is to be said of it."""
    rows = [
        f'<tr role="row">{_who(c, s, looks[s.label])}{"".join(own)}</tr>'
        for s, own in zip(c.ranked, zip(*cells, strict=True), strict=True)
    ]
    first = _ROWS if len(rows) > _ROWS + 1 else len(rows)
    css = f"compare {css}" if len(rows) <= MANY else f"compare tight {css}"
    parts = [
        f'<div class="scroll"><table class="{css}" role="table">{heading}'
        f'<tbody role="rowgroup">{"".join(some)}</tbody></table></div>'
        for some in (rows[:first], rows[first:])
        if some
    ]
    if len(parts) > 1:
        parts[1] = f"<details><summary>The other {len(rows) - first:,}</summary>{parts[1]}</details>"
    return f'{"".join(parts)}<p class="small">{text(words)}</p>'


def _who(c: Comparison, s: Summary, look: Style) -> str:
    """A setting's name, with what it stands for where its program's name alone does not say."""
    notes = [NAMES[s.role]] if s.role in NAMES and NAMES[s.role] != s.label else []
    # Where every row has as many, the text below the table says it once.
    notes += [plural(s.n, "seed")] if len({o.n for o in c.programs}) > 1 else []
    small = "".join(f"<small>{text(note)}</small>" for note in notes)
    return f'<th scope="row" class="who" role="rowheader">{swatch(look)}<span>{escape(s.label)}{small}</span></th>'


def _quality(c: Comparison) -> tuple[str, list[list[str]], str]:
    """Heading, columns of cells and words of the table of values."""
    metrics = shown_metrics(c)
    top = "".join(head(m.label) for m in metrics)
    found, signs = [], [mark(c, s) for s in c.ranked]
    for m in metrics:
        told = column(c.ranked, m)
        found.append(
            [
                cell(m.label, t.value, note=t.few or t.interval, sign=sign if m is c.metric else "")
                for t, sign in zip(told, signs, strict=True)
            ]
        )
    heading = f'<thead role="rowgroup"><tr role="row">{head("program", css="who")}{top}</tr></thead>'
    words = [covers(c.ranked, metrics[0])]
    if len(c.ranked) > MANY:
        words.insert(0, "The best come first.")
    if any(s.n > 1 for s in c.programs):
        same = len({s.n for s in c.programs}) == 1
        words.append(f"Numbers are means over {c.programs[0].n if same else 'several'} seeds.")
    return heading, found, " ".join(w for w in words if w)


def _costs(c: Comparison) -> tuple[str, list[list[str]], str]:
    """The same of the table of costs, and of what it took to reach the target."""
    goal = c.metric.target_text(c.target) if c.metric and c.target is not None else ""
    heads = [time_head(c.shown) if k.head == _TIME else k.head for k in _COSTS]
    top = "".join(head(h, rowspan=2) for h in heads)
    second = ""
    if goal:
        top += head(f"to reach {goal}", colspan=len(_TO_TARGET))
        second = "".join(head(k.head, css="first" if i == 0 else "") for i, k in enumerate(_TO_TARGET))
    heading = (
        f'<thead role="rowgroup"><tr role="row">{head("program", rowspan=2, css="who")}{top}</tr>'
        f'<tr role="row">{second}</tr></thead>'
    )
    columns = [
        [cell(name, v) for v in k.write([k.read(s.last) for s in c.ranked])]
        for name, k in zip(heads, _COSTS, strict=True)
    ]
    for i, k in enumerate(_TO_TARGET if goal else ()):
        shown = k.write([None if s.reached is None else k.read(s.reached) for s in c.ranked])
        columns.append(
            [_to_target(c, s, k, f"{k.head} to {goal}", v, i == 0) for s, v in zip(c.ranked, shown, strict=True)]
        )
    return heading, columns, _explain(c, goal)


def _to_target(c: Comparison, s: Summary, k: _Column, name: str, shown: str, first: bool) -> str:
    css = "first" if first else ""
    if s.reached is None:
        return cell(name, MISSING, f"{css} none")
    return cell(name, shown, css + (" least" if _least(c, s, k.read) else ""), s.reached_by if first else "")


def head(words: str, *, rowspan: int = 1, colspan: int = 1, css: str = "") -> str:
    """A column's head as HTML."""
    scope, inner = ("colgroup", f"<span>{text(words)}</span>") if colspan > 1 else ("col", text(words))
    spans = (f' rowspan="{rowspan}"' if rowspan > 1 else "") + (f' colspan="{colspan}"' if colspan > 1 else "")
    css = "goal" if colspan > 1 else css
    return f'<th scope="{scope}" role="columnheader"{spans}{f" class={css}" if css else ""}>{inner}</th>'


def cell(head: str, value: str, css: str = "", note: str = "", sign: str = "") -> str:
    """A cell as HTML; ``note`` stands below its value, ``sign`` behind it, ``head`` before it where a row is a card."""
    css = f' class="{css.strip()}"' if css.strip() else ""
    shown = text(value) + (f' <span class="sign">{text(sign)}</span>' if sign else "")
    if note:
        shown = f"<span>{shown} <small>{text(note)}</small></span>"
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


def _explain(c: Comparison, goal: str) -> str:
    words = "Bytes are sums over all nodes; one local epoch is as much work as one pass over all rows of all nodes."
    if any(s.n > 1 for s in c.programs):
        words += " All are means over seeds"
        words += ", what it took to reach the target over the seeds that did." if goal else "."
    if not goal or c.metric is None:
        return words
    most = c.metric.best([s.most for s in c.with_role(TOGETHER) if s.most is not None])
    why = f"; no federated program got beyond {c.metric.text(most)} in any round" if most is not None else ""
    bold = any(_least(c, s, k.read) for s in c.programs for k in _TO_TARGET)
    mark = "Bold is the federated program that spent least. " if bold else ""
    quality = c.metric.label
    return f"“To reach {goal}” is what a program had spent when its {quality} first got there{why}. {mark}{words}"
