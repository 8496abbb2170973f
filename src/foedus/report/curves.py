"""The figures that explain federated learning: quality against communication, and against local computation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from foedus.core.run import Record
from foedus.report.axis import Axis, log_axis, value_axis
from foedus.report.figures import Line, Style, curve, line_chart
from foedus.report.markup import text
from foedus.report.summary import TOGETHER, Comparison, Metric, Summary
from foedus.report.units import human_bytes, human_count, human_seconds
from foedus.report.verdict import CLOCK, ROUNDS, TRAFFIC, WORK, Price, join, plural, race


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
    values = [v for s in c.programs for v in s.values]
    ticks = (lambda v: f"{v:g}") if metric.field == "auc" else metric.target_text
    y = value_axis(values if c.target is None else [*values, c.target], ticks, share=metric.share)
    return "\n".join(_figure(c, looks, metric, y, f) for f in _FIGURES)


def _figure(c: Comparison, looks: dict[str, Style], metric: Metric, y: Axis, f: _Figure) -> str:
    drawn = [(p, chart) for p in f.panels if (chart := _chart(c, looks, metric, y, f, p))]
    if not drawn:
        return ""
    lead = f"{'Higher' if metric.higher else 'Lower'} and further left is better: {f.better}."
    silent = [s.label for s in c.programs if s.role != TOGETHER and s.final is not None]
    if f.levels and silent:
        lead += f" {join(silent)} " + (
            "sends nothing: a dashed line" if len(silent) == 1 else "send nothing: dashed lines"
        )
        lead += " at the quality reached."
    if any(s.reached is not None for s in c.programs):
        lead += " A ring marks where a curve first reaches the target."
    said = race(c, *(p.price for p, _ in drawn))
    return (
        f'<h2>{text(f"{metric.title} {f.head}")}</h2><p class="lead">{text(lead)}</p><figure><div class="panels">'
        f"{''.join(chart for _, chart in drawn)}</div><figcaption>{text(said)}</figcaption></figure>"
    )


def _chart(c: Comparison, looks: dict[str, Style], metric: Metric, y: Axis, f: _Figure, p: _Panel) -> str:
    lines = []
    for s in c.programs:
        line = Line(s.label, looks[s.label])
        if f.levels and s.role != TOGETHER:
            if s.final is not None:
                tip = f"{s.label}\n{metric.label} {metric.text(s.final)}, without communication"
                lines.append(Line(s.label, looks[s.label], tips=(tip,), level=s.final))
            continue
        pairs = [(float(p.price.read(r)), v) for r, v in zip(s.evaluated, s.values, strict=True)]
        mark = next((i for i, r in enumerate(s.evaluated) if r is s.reached), None)
        lines.append(curve(line, pairs, [_tip(s, metric, r) for r in s.evaluated], mark))
    xs = [x for line in lines for x in line.xs]
    if not xs:
        return ""
    title = f"{metric.title} {p.head}"
    ends = [f"{s.label} ends at {metric.text(s.final)}" for s in c.programs if s.final is not None]
    drawn = line_chart(
        lines, log_axis(xs, p.ticks, clock=p.price is CLOCK), y, name=p.name, title=title, desc="; ".join(ends) + ".",
        x_label=p.x_label, target=None if c.target is None else (c.target, f"target {metric.target_text(c.target)}"),
    )  # fmt: skip
    return f'<div class="panel"><h3>{text(title)}</h3>{drawn}</div>'


def _tip(s: Summary, metric: Metric, r: Record) -> str:
    return (
        f"{s.label}, round {r.round:,}\n{metric.label} {metric.text(metric.of(r))}\n{TRAFFIC.full(TRAFFIC.read(r))}\n"
        f"{plural(r.epochs, 'epoch')}, {human_seconds(r.virtual_s)}"
    )
