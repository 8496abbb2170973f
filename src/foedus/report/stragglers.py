"""Who waited for whom: the length of rounds beside their median node, and the time of every node."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from foedus.core.records.ledger import Costs
from foedus.core.records.run import Record, Run
from foedus.report.axis import value_axis
from foedus.report.figures import Line, line_chart
from foedus.report.looks import IDEAL, Style
from foedus.report.markup import text
from foedus.report.split import node_names
from foedus.report.summary import TOGETHER, Comparison, Summary
from foedus.report.units import human_count, human_seconds, longer, percent

MOST = 40
"""Nodes that are drawn one by one; of more than these, groups of equal size."""
_GROUPS = 20
_SLOW = 1.1
"""Rounds that take no longer than this many times their median node need no figure."""


@dataclass(frozen=True)
class Share:
    """The time of a node, or of a group the mean of its nodes, in seconds.

    ``computing``  of which the answer was used; ``lost`` computing for nothing; ``wire``, ``waiting`` for others and
    ``off`` before it came on. ``awaited``  how long others waited for it: each for all that were still out alike.
    """

    name: str
    computing: float
    lost: float
    wire: float
    waiting: float
    off: float
    awaited: float

    @property
    def total(self) -> float:
        """All of its own time."""
        return self.computing + self.lost + self.wire + self.waiting + self.off


_PARTS = (
    ("compute", "computing", "computing"),
    ("lost", "lost", "computing for nothing"),
    ("wire", "wire", "on the wire"),
    ("waiting", "waiting", "waiting for others"),
    ("off", "off", "off, with a job waiting"),
)
"""CSS class, field of ``Share``, words."""


def shares(run: Run) -> list[Share]:
    """Nodes by how long others waited for them, the longest first; more than 40 in groups of a twentieth."""
    names = node_names(run)
    nodes = sorted(((n, c) for n, c in run.ledger.nodes.items() if n >= 0), key=lambda p: (-p[1].awaited_s, p[0]))
    if len(nodes) <= MOST:
        return [_share(f"node {n}" if names is None else names[n], [c]) for n, c in nodes]
    found = []
    for i in range(_GROUPS):
        first, end = i * len(nodes) // _GROUPS, (i + 1) * len(nodes) // _GROUPS
        name = f"{100 * i // _GROUPS}–{100 * (i + 1) // _GROUPS} %"
        found.append(_share(name, [c for _, c in nodes[first:end]]))
    return found


def _share(name: str, costs: Sequence[Costs]) -> Share:
    def mean(field: str) -> float:
        return math.fsum(getattr(c, field) for c in costs) / len(costs)

    lost = mean("lost_s")
    return Share(
        name,
        computing=max(0.0, mean("compute_s") - lost),
        lost=lost,
        wire=mean("wire_s"),
        waiting=mean("waiting_s"),
        off=mean("off_s"),
        awaited=mean("awaited_s"),
    )


def stragglers(c: Comparison, looks: dict[str, Style]) -> str:
    """The section as HTML; empty where nobody waited for anybody."""
    slow = [s for s in c.shown if s.role == TOGETHER and s.last.virtual_s > _SLOW * s.last.median_s > 0]
    if not slow:
        return ""
    slow.sort(key=lambda s: s.last.median_s / s.last.virtual_s)
    panels = "".join(
        f'<div class="panel"><h3>{text(f"{_name(s)}: every round and its median node")}</h3>'
        f"{_rounds(s.run, i, looks[s.label])}</div>"
        for i, s in enumerate(slow[:2])
    )
    said = [f"Rounds of {s.label} took {longer(s.last.virtual_s, s.last.median_s)} their median node." for s in slow]
    said = [*said[:4], "A node without an answer counts as out until the round's end."]
    chosen = next((s for s in slow if _by_node(s.run)), None)
    if chosen is None:
        said.append("Run with per_node=True to see every node.")
    return (
        f'<h2>Who waited for whom</h2><figure><div class="panels">{panels}</div>'
        f"<figcaption>{text(' '.join(said))}</figcaption></figure>{'' if chosen is None else _nodes(chosen)}"
    )


def _name(s: Summary) -> str:
    return f"{s.label}, seed {s.run.seed}" if s.n > 1 else s.label


def _by_node(run: Run) -> bool:
    return any(n >= 0 for n in run.ledger.nodes)


def lengths(history: Sequence[Record]) -> list[tuple[int, float, float]]:
    """Of every commit its number, the time since the one before, and the time after which the median node was done."""
    records = [Record(round=0), *history]
    return [(b.round, b.virtual_s - a.virtual_s, b.median_s - a.median_s) for a, b in pairwise(records)]


def _rounds(run: Run, number: int, look: Style) -> str:
    found = lengths(run.history)
    xs = tuple(float(t) for t, _, _ in found)
    whole, median = tuple(x for _, x, _ in found), tuple(x for _, _, x in found)
    tips = [f"round {t:,}\n{human_seconds(a)}, its median node {human_seconds(b)}" for t, a, b in found]
    lines = [
        Line("round", look, xs, whole, tuple(tips)),
        Line("median node", IDEAL, xs, median, tuple(tips)),
    ]
    seconds = [*whole, *median]
    if max(seconds) <= 30 * min(seconds):
        seconds.append(0.0)  # a linear axis from zero shows how many times as long
    return line_chart(
        lines, value_axis(xs, human_count), value_axis(seconds, human_seconds), name=f"stragglers{number}",
        title="Length of rounds, and when their median node was done",
        desc=f"{len(found):,} rounds of {human_seconds(run.history[-1].virtual_s)} in all.", x_label="round",
    )  # fmt: skip


def _nodes(s: Summary) -> str:
    found, run = shares(s.run), s.run
    parts = [p for p in _PARTS if any(getattr(f, p[1]) > 0 for f in found)]
    longest, most = max(f.total for f in found) or 1.0, max(f.awaited for f in found) or 1.0
    key = "".join(f'<li><i class="{css}"></i>{words}</li>' for css, _, words in parts)
    key += '<li><i class="awaited"></i>how long others waited for it</li>'
    rows = "".join(_row(f, parts, longest, most) for f in found)
    grouped = len([n for n in run.ledger.nodes if n >= 0]) > MOST
    what = "nodes, by rank" if grouped else "node"
    head = f'<div class="head">{what}</div><div class="head">its own time</div><div class="head">others waited</div>'
    title = text(f"{_name(s)}: the time of {'nodes, in groups' if grouped else 'every node'}")
    return (
        f'<figure><h3>{title}</h3><ul class="key">{key}</ul><div class="waits">{head}{rows}</div>'
        f"<figcaption>{text(_said(s, found, grouped))}</figcaption></figure>"
    )


def _said(s: Summary, found: Sequence[Share], grouped: bool) -> str:
    total = math.fsum(f.awaited for f in found)
    first = max(1, len(found) // 10)
    who = "the first tenth of nodes" if grouped or first > 1 else found[0].name
    words = ""
    if total > 0:
        part = math.fsum(f.awaited for f in found[:first]) / total
        words = f"{percent(part, 0)} of all waiting was for {who}. "
    words += (
        "Whoever has answered waits for all that are still out, for each of them alike; the nodes that were waited for "
        "longest come first."
    )
    if grouped:
        words += f" Each row is a twentieth of the {s.run.nodes:,} nodes: means over those that were asked."
    return words


def _row(f: Share, parts: Sequence[tuple[str, str, str]], longest: float, most: float) -> str:
    spent = [(css, getattr(f, field), words) for css, field, words in parts if getattr(f, field) > 0]
    own = ", ".join(f"{words} {human_seconds(x)}" for _, x, words in spent) or "nothing"
    tip = escape(f"{f.name}\n" + own.replace(", ", "\n") + f"\nothers waited {human_seconds(f.awaited)} for it")
    bars = "".join(f'<span class="{css}" style="width:{100 * x / longest:.2f}%"></span>' for css, x, _ in spent)
    # Beside the bar there is room for the number, however narrow the page.
    width = f"calc((100% - 84px) * {f.awaited / most:.4f})"
    awaited = f'<span class="awaited" style="width:{width}"></span>{text(human_seconds(f.awaited))}'
    name = escape(f.name)
    return (
        f'<div class="label">{name}</div><div class="bar tip" data-tip="{tip}" role="img" '
        f'aria-label="{name}: {escape(own)}">{bars}</div>'
        f'<div class="awaits">{awaited}</div>'
    )
