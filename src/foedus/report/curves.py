"""The figures that explain federated learning: quality against communication, and against local computation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from foedus.core.types.metric import BOUNDED
from foedus.report.axis import Axis, log_axis, value_axis
from foedus.report.figures import Line, curve, line_chart
from foedus.report.likeness import called
from foedus.report.looks import REST, Style, dashes
from foedus.report.markup import text
from foedus.report.race import CLOCK, ROUNDS, TRAFFIC, WORK, Price, race
from foedus.report.summary import TOGETHER, Comparison, Metric, Summary
from foedus.report.units import human_bytes, human_count, human_seconds
from foedus.report.verdict import join, plural


@dataclass(frozen=True)
class _Panel:
    """One chart: what is on its horizontal axis, and how ticks are written."""

    name: str
    head: str
    x_label: str
    price: Price
    ticks: Callable[[float], str]


@dataclass(frozen=True)
class _Figure:
    """Two charts side by side. ``levels``: runs that send nothing are levels across it instead of curves."""

    head: str
    better: str
    levels: bool
    panels: tuple[_Panel, ...]


_FIGURES = (
    _Figure(
        "against communication", "the same quality for less traffic, or in fewer rounds", True,
        (
            _Panel("bytes", "by traffic", "bytes up and down, all nodes (log scale)", TRAFFIC, human_bytes),
            _Panel("rounds", "by rounds", "rounds of communication (log scale)", ROUNDS, human_count),
        ),
    ),
    _Figure(
        "against local computation", "the same quality for less work at the nodes, or sooner", False,
        (
            _Panel("epochs", "by local computation", "epochs over the data (log scale)", WORK, human_count),
            _Panel("time", "by the clock", "virtual time (log scale)", CLOCK, human_seconds),
        ),
    ),
)  # fmt: skip


def curves(c: Comparison, looks: dict[str, Style]) -> str:
    """Both sections as HTML; a sentence where nothing was evaluated."""
    metric = c.metric
    if metric is None:
        return '<p class="lead">Nothing was evaluated, so there are no curves to draw.</p>'
    values = [v for s in c.programs for v in (*s.values, *s.finals, *(_ends(s) if s in c.shown else ()))]
    ticks = (lambda v: f"{v:g}") if metric.form == BOUNDED else metric.target_text
    y = value_axis(values if c.target is None else [*values, c.target], ticks, share=metric.share)
    return "\n".join(_figure(c, looks, metric, y, f) for f in _FIGURES)


def _figure(c: Comparison, looks: dict[str, Style], metric: Metric, y: Axis, f: _Figure) -> str:
    drawn = [(p, chart) for p in f.panels if (chart := _chart(c, looks, metric, y, f, p))]
    if not drawn:
        return ""
    lead = f"{'Higher' if metric.higher else 'Lower'} and further left is better: {f.better}."
    silent = [s for s in c.shown if s.role != TOGETHER and s.final is not None]
    if f.levels and silent:
        named = join([f"{s.label} ({dashes(looks[s.label])})" for s in silent])
        lead += (
            f" {named} {'sends' if len(silent) == 1 else 'send'} nothing, and stand{'s' if len(silent) == 1 else ''} "
        )
        lead += "at the quality reached."
    if c.target is not None and any(metric.reaches(v, c.target) for s in c.shown if not c.odd(s) for v in s.values):
        lead += " A ring marks where a curve first reaches the target."
    if any(s.n > 1 for s in c.shown):
        lead += " Lines are means over seeds; a band goes from the lowest seed to the highest."
    if any(
        s.evaluated and any(run.history[-1].round > s.evaluated[-1].round for run in s.runs if run.history)
        for s in c.shown
        if s.n > 1
    ):
        lead += " A line ends where the first of its seeds ended."
    rest = len(c.programs) - len(c.shown)
    if rest:
        lead += f" Drawn in colour are the best at the end; the other {rest:,} are grey."
    said = race(c, *(p.price for p, _ in drawn))
    return (
        f'<h2>{text(f"{metric.title} {f.head}")}</h2><p class="lead">{text(lead)}</p><figure><div class="panels">'
        f"{''.join(chart for _, chart in drawn)}</div><figcaption>{text(said)}</figcaption></figure>"
    )


def _chart(c: Comparison, looks: dict[str, Style], metric: Metric, y: Axis, f: _Figure, p: _Panel) -> str:
    lines = []
    for s in c.programs:
        line = Line(called(c, s), looks[s.label])
        back = line.style is REST
        if f.levels and s.role != TOGETHER:
            if s.final is not None and not back:
                tip = f"{s.label}\n{metric.label} {metric.spread_text(s.finals)}, without communication"
                around = ((min(s.finals), max(s.finals)),) if len(s.finals) > 1 else ()
                lines.append(Line(called(c, s), looks[s.label], tips=(tip,), level=s.final, band=around))
            continue
        pairs = [(float(p.price.read(r)), v) for r, v in zip(s.evaluated, s.values, strict=True)]
        mark = None
        if c.target is not None and not back and not c.odd(s):
            mark = next((i for i, v in enumerate(s.values) if metric.reaches(v, c.target)), None)
        tips = [""] * len(pairs) if back else [_tip(s, metric, i) for i in range(len(pairs))]
        band = () if back or s.n == 1 else tuple(zip(s.low, s.high, strict=True))
        lines.append(curve(line, pairs, tips, mark, band))
    xs = [x for line in lines for x in line.xs]
    if not xs:
        return ""
    title = f"{metric.title} {p.head}"
    ends = [f"{s.label} ends at {metric.text(s.final)}" for s in c.shown if s.final is not None]
    drawn = line_chart(
        lines, log_axis(xs, p.ticks, clock=p.price is CLOCK), y, name=p.name, title=title, desc="; ".join(ends) + ".",
        x_label=p.x_label, target=None if c.target is None else (c.target, f"target {metric.target_text(c.target)}"),
    )  # fmt: skip
    return f'<div class="panel"><h3>{text(title)}</h3>{drawn}</div>'


def _ends(s: Summary) -> tuple[float, ...]:
    """What a band adds to the range of values."""
    return (*s.low, *s.high)


def _tip(s: Summary, metric: Metric, i: int) -> str:
    r = s.evaluated[i]
    seeds = f" ({metric.text(s.low[i])} to {metric.text(s.high[i])} over {len(s.finals)} seeds)" if s.n > 1 else ""
    return (
        f"{s.label}, round {r.round:,}\n{metric.label} {metric.text(s.values[i])}{seeds}\n"
        f"{TRAFFIC.full(TRAFFIC.read(r))}\n{plural(r.epochs, 'epoch')}, {human_seconds(r.virtual_s)}"
    )
