"""How it is for each node: a dot for the quality at every node, the mean, and the mean of the worst tenth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean

from foedus.core.coordination.spread import worst_tenth
from foedus.core.records.run import Run
from foedus.report.axis import Axis, value_axis
from foedus.report.by_node import (
    FEW,
    MOST_ROWS,
    Node,
    Nodes,
    by_node,
    called,
    explained,
    gain_of,
    listed,
    node_values,
    rows_of,
    sentence,
)
from foedus.report.looks import Style
from foedus.report.markup import text
from foedus.report.split import node_names
from foedus.report.summary import POOLED, TOGETHER, Comparison, Metric, Summary, measures
from foedus.report.table import cell, head
from foedus.report.units import percent
from foedus.report.values import decimals, from_to

_DOTS = 120
_BINS = 80
_HEIGHT, _FLOOR, _RADIUS = 46, 40, 3.2


@dataclass(frozen=True, eq=False)
class Fairness:
    """Quality at the nodes of one setting, over all its seeds. ``mean`` and ``worst`` are means over seeds of each
    seed's mean over nodes and of the mean over its worst tenth of nodes (at least one)."""

    summary: Summary
    values: tuple[tuple[str, float], ...]
    nodes: int
    mean: float
    worst: float


def fairness(programs: Sequence[Summary]) -> tuple[Metric, list[Fairness]] | None:
    """Of all settings that were evaluated at their nodes, by the first metric that any has; None if none was."""
    for metric in measures(run for s in programs for run in s.runs):
        found = [f for s in programs if (f := _of(s, metric)) is not None]
        if found:
            return metric, found
    return None


def _of(s: Summary, metric: Metric) -> Fairness | None:
    seeds = [(run, pairs) for run in s.runs if (pairs := node_values(run, metric))]
    if not seeds:
        return None
    values = [[v for _, v in pairs] for _, pairs in seeds]
    names = [f"{_node(run, k)}{f', seed {run.seed}' if s.n > 1 else ''}" for run, pairs in seeds for k, _ in pairs]
    return Fairness(
        summary=s,
        values=tuple(sorted(zip(names, (v for seed in values for v in seed), strict=True), key=lambda p: p[1])),
        nodes=max(map(len, values)),
        mean=fmean(fmean(v) for v in values),
        worst=fmean(worst_tenth(v, metric.higher) for v in values),
    )


def _node(run: Run, k: int) -> str:
    names = node_names(run)
    return f"node {k}" if names is None else names[k]


def each_node(c: Comparison, looks: dict[str, Style]) -> str:
    """The section as HTML; empty where nothing was evaluated at the nodes.

    Up to thirty nodes have a row each; of more, all are dots, and the ten that have least have a row.
    """
    found, measured = by_node(c), fairness(c.shown)
    if found is None or measured is None:
        return ""
    many = len(found.nodes) > MOST_ROWS
    dots = _strips(c, looks, *measured) if many or len(c.with_role(TOGETHER)) > 1 else ""
    said = " ".join(s for s in (sentence(found), of_all(c, *measured)) if s)
    return f'<h2>How it is for each node</h2><p class="lead">{text(said)}</p>{dots}{_table(found, looks)}'


# -- a row a node ------------------------------------------------------------------------------------------------------


def _table(found: Nodes, looks: dict[str, Style]) -> str:
    """A row a node: its values as dots on one axis and as numbers, and what it gains."""
    m, groups, nodes = found.metric, list(found.groups), listed(found)
    axis = value_axis(_values(nodes), m.target_text, share=m.share)
    own = [*groups, *(["gain"] if found.gains else [])]
    other = [g for g in groups if any(g in n.everybody for n in nodes)]
    top = f"{head('node', rowspan=2, css='who')}{head('rows', rowspan=2)}{head('', rowspan=2, css='dots')}"
    top += head(f"{m.label} on its own rows", colspan=len(own))
    top += head("on everybody's", colspan=len(other)) if other else ""
    second = "".join(head(h, css="" if i else "first") for some in (own, other) for i, h in enumerate(some))
    columns = [decimals(m, [n.own.get(g) for n in nodes]) for g in groups]
    elsewhere = [decimals(m, [n.everybody.get(g) for n in nodes]) for g in other]
    rows = []
    for i, n in enumerate(nodes):
        cells = [cell(f"{g}, own rows", columns[j][i], sign=FEW if n.few else "") for j, g in enumerate(groups)]
        cells += [_gain(found, n)] if found.gains else []
        cells += [cell(f"{g}, everybody's rows", elsewhere[j][i]) for j, g in enumerate(other)]
        rows.append(
            f'<tr role="row"><th scope="row" class="who" role="rowheader">{escape(n.name)}</th>'
            f"{cell('rows', rows_of(n))}"
            f'<td role="cell" class="dots">{_dots(found, n, axis, looks)}</td>{"".join(cells)}</tr>'
        )
    ticks = "".join(
        f'<span style="left:{100 * axis.at(t):.1f}%">{text(words)}</span>'
        for t, words in zip(axis.ticks, axis.texts, strict=True)
    )
    rows.append(
        '<tr role="row" class="axis" aria-hidden="true"><td></td><td></td>'
        f'<td class="dots"><div class="ticks">{ticks}</div></td></tr>'
    )
    key = "".join(
        f'<li><svg class="mark" viewBox="0 0 14 14"><circle class="{looks[s.label].css} {_mark(g)}" cx="7" cy="7"/>'
        f"</svg>{text(called(g, s))}</li>"
        for g, s in found.groups.items()
    )
    return (
        f'<ul class="key">{key}</ul><div class="scroll"><table class="compare tight nodes" role="table">'
        f'<thead role="rowgroup"><tr role="row">{top}</tr><tr role="row">{second}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table></div><p class="small">{text(explained(found))}</p>'
    )


def _mark(group: str) -> str:
    """A dot; of all data in one place a ring, in which a dot can be seen that has as much."""
    return "hollow" if group == POOLED else "seen spot"


def _values(nodes: Sequence[Node]) -> list[float]:
    return [v for n in nodes for v in n.own.values() if v is not None] or [0.0, 1.0]


def _gain(found: Nodes, n: Node) -> str:
    around = "" if n.gain is None else from_to(found.metric, n.gain, found.values)
    return cell("gain", gain_of(found, n), "least" if found.told(n) else "", around)


def _dots(found: Nodes, n: Node, axis: Axis, looks: dict[str, Style]) -> str:
    """A node's values on the axis that all nodes share."""
    drawn, said = [], []
    for group, s in found.groups.items():
        v = n.own.get(group)
        if v is not None:
            said.append(f"{group} {found.metric.text(v)}")
            drawn.append(f'<circle class="{looks[s.label].css} {_mark(group)}" cx="{100 * axis.at(v):.1f}%" cy="9"/>')
    words = escape(f"{n.name}: {', '.join(said) or 'not measured'}")
    return (
        f'<svg class="strip tip" height="18" role="img" aria-label="{words}"><title>{words}</title>'
        f'<line class="grid" x1="0" x2="100%" y1="9" y2="9"/>{"".join(drawn)}</svg>'
    )


# -- all nodes as dots -------------------------------------------------------------------------------------------------


def _strips(c: Comparison, looks: dict[str, Style], metric: Metric, all_of_them: Sequence[Fairness]) -> str:
    """The nodes of every setting as dots on one axis."""
    axis = value_axis([v for f in all_of_them for _, v in f.values], metric.target_text, share=metric.share)
    key = (
        '<li><svg class="mark" viewBox="0 0 12 12"><circle class="seen" cx="6" cy="6" r="3.5"/></svg>a node</li>'
        '<li><svg class="mark" viewBox="0 0 12 12"><line class="mean" x1="6" x2="6" y1="0" y2="12"/></svg>mean</li>'
        '<li><svg class="mark" viewBox="0 0 12 12"><line class="worst" x1="6" x2="6" y1="0" y2="12"/></svg>'
        f"mean of {_who(all_of_them)}</li>"
    )
    rows = "".join(_strip(f, metric, axis, looks[f.summary.label]) for f in all_of_them)
    ticks = "".join(
        f'<span style="left:{100 * axis.at(t):.1f}%">{text(words)}</span>'
        for t, words in zip(axis.ticks, axis.texts, strict=True)
    )
    caption = ["What counts is the last evaluation at the nodes."]
    per_dot = max(len(f.values) / _DOTS for f in all_of_them)
    if per_dot > 1:
        caption.append(f"Where there are more than {_DOTS} nodes a dot stands for several.")
    return (
        f'<figure><ul class="key">{key}</ul><div class="split strips">{rows}'
        f'<div></div><div class="ticks" aria-hidden="true">{ticks}</div></div>'
        f"<figcaption>{text(' '.join(caption))}</figcaption></figure>"
    )


def of_all(c: Comparison, metric: Metric, found: Sequence[Fairness]) -> str:
    """What the worst tenth of nodes has while the mean is so much."""
    f = next((f for f in found if f.summary is c.chosen), found[0])
    name = "" if metric.share else f"{metric.label} "
    worst, mean = (percent(v, 0) if metric.share else metric.text(v) for v in (f.worst, f.mean))
    return f"With {f.summary.label} {_who([f])} has {name}{worst}, while the mean over nodes is {mean}."


def _who(found: Sequence[Fairness]) -> str:
    return "the worst node" if max(f.nodes for f in found) <= 10 else "the worst tenth of nodes"


def _strip(f: Fairness, metric: Metric, axis: Axis, look: Style) -> str:
    shown = list(f.values)
    if len(shown) > _DOTS:
        shown = [shown[i * (len(shown) - 1) // (_DOTS - 1)] for i in range(_DOTS)]
    bins: dict[int, int] = {}
    placed = []
    for name, value in shown:
        column = round(axis.at(value) * _BINS)
        placed.append((name, value, column / _BINS, bins.get(column, 0)))
        bins[column] = bins.get(column, 0) + 1
    step = min(2 * _RADIUS, (_FLOOR - 6) / max(1, max(bins.values()) - 1))
    dots = "".join(
        f'<circle class="{look.css} seen tip" cx="{100 * at:.1f}%" cy="{_FLOOR - high * step:.1f}" r="{_RADIUS}">'
        f"<title>{escape(name)}: {escape(metric.text(value))}</title></circle>"
        for name, value, at, high in placed
    )
    mean, worst = 100 * axis.at(f.mean), 100 * axis.at(f.worst)
    words = f"mean {metric.text(f.mean)}, {_who([f])} {metric.text(f.worst)}"
    label = escape(f.summary.label)
    return (
        f'<div class="label">{label}</div><div><svg class="strip" height="{_HEIGHT}" role="img" '
        f'aria-label="{label}: {escape(words)}">'
        f'<line class="base" x1="0" x2="100%" y1="{_FLOOR + 4}" y2="{_FLOOR + 4}"/>'
        f'{dots}<line class="worst" x1="{worst:.1f}%" x2="{worst:.1f}%" y1="0" y2="{_HEIGHT}"/>'
        f'<line class="mean" x1="{mean:.1f}%" x2="{mean:.1f}%" y1="0" y2="{_HEIGHT}"/></svg>'
        f'<div class="shares">{text(words)}</div></div>'
    )
