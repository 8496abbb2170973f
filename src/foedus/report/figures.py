"""Line charts and columns as small inline SVG. Colours are CSS variables, so that light and dark are one drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from foedus.report.axis import Axis
from foedus.report.looks import REST, TARGET, Style

CLASS_COLORS = 10
WIDTH, HEIGHT = 372, 268
_TOP, _BOTTOM, _LEFT = 14, 42, 44
_LABEL_CHARS, _CHAR, _LINE = 18, 6.1, 14
_POINTS, _TIPS = 160, 40


@dataclass(frozen=True)
class Line:
    """One setting in one chart: a curve of points in data units, or a level across the whole width.

    ``tips``  what a reader sees on a point (empty: nothing).   ``mark``  index of the point that first reached the
    target.   ``band``  low and high at every point, or at the level; empty where there is no band.
    """

    label: str
    style: Style
    xs: tuple[float, ...] = ()
    ys: tuple[float, ...] = ()
    tips: tuple[str, ...] = ()
    mark: int | None = None
    level: float | None = None
    band: tuple[tuple[float, float], ...] = ()

    @property
    def end(self) -> float:
        """The height at which its label belongs."""
        return self.ys[-1] if self.level is None else self.level


def line_chart(
    lines: Sequence[Line], x: Axis, y: Axis, *, name: str, title: str, desc: str, x_label: str,
    target: tuple[float, str] | None = None,
) -> str:  # fmt: skip
    """An SVG of curves and levels with labels at the right. ``name`` is unique on the page; texts are escaped here."""
    goal = [] if target is None or not y.low <= target[0] <= y.high else [Line(target[1], TARGET, level=target[0])]
    named = [ln for ln in lines if ln.style is not REST and ln.label]
    # Names stand beside the plot, where no curve is; so does that of the target.
    shown = [*named, *goal] if len(named) + len(goal) <= (HEIGHT - _TOP - _BOTTOM) // _LINE else goal
    right = max(map(len, _shortened([ln.label for ln in shown])), default=0) * _CHAR + 26
    plot = _Plot(x, y, _LEFT, WIDTH - right, _TOP, HEIGHT - _BOTTOM)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-t {name}-d">',
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(desc)}</desc>',
        *_frame(plot, x_label),
    ]
    for ln in goal:
        h = plot.v(ln.end)
        parts.append(f'<line class="target" x1="{plot.left}" x2="{_n(plot.right)}" y1="{h}" y2="{h}"/>')
    # What stays in the background is drawn first: the other lines, then the bands, then the curves.
    lines = sorted(lines, key=lambda ln: ln.style is not REST)
    for ln in lines:
        parts += _band(plot, ln)
    for ln in lines:
        parts += _level(plot, ln) if ln.level is not None else _curve(plot, ln)
    parts += _labels(plot, shown)
    return "".join(parts) + "</svg>"


def columns(
    stacks: Sequence[Sequence[int]], classes: Sequence[str], tips: Sequence[str], *, name: str, title: str, desc: str
) -> str:
    """An SVG of stacked columns, one per node, stretched to any width. ``classes`` are CSS classes, bottom first."""
    top = max((sum(s) for s in stacks), default=0) or 1
    width, height, gap = 10, 200, 1.6 if len(stacks) <= 30 else 0.8
    parts = [_stretched("columns", len(stacks) * width, height, name, title, desc)]
    for i, (stack, tip) in enumerate(zip(stacks, tips, strict=True)):
        parts.append(f'<g class="tip"><title>{escape(tip)}</title>')
        below = 0
        for count, css in zip(stack, classes, strict=True):
            if count > 0:
                h, y = count / top * height, height - (below + count) / top * height
                parts.append(
                    f'<rect class="{css}" x="{_n(i * width + gap / 2)}" width="{_n(width - gap)}" y="{_n(y)}" '
                    f'height="{_n(h)}"/>'
                )
                below += count
        parts.append("</g>")
    return "".join(parts) + "</svg>"


def quantile_boxes(boxes: Sequence[Sequence[float]], tips: Sequence[str], *, name: str, title: str, desc: str) -> str:
    """An SVG of five quantiles (outer, inner, median, inner, outer) per node, stretched to any width."""
    low, high = min(b[0] for b in boxes), max(b[-1] for b in boxes)
    width, height = 10.0, 200.0
    size = (high - low) or 1.0
    parts = [_stretched("columns boxes", len(boxes) * width, height, name, title, desc)]
    for i, (box, tip) in enumerate(zip(boxes, tips, strict=True)):
        a, b, middle, c, d = ((high - q) / size * (height - 4) + 2 if high > low else height / 2 for q in box)
        x = i * width
        parts.append(
            f'<g class="tip"><title>{escape(tip)}</title>'
            f'<rect class="outer" x="{_n(x + 4)}" width="2" y="{_n(d)}" height="{_n(max(a - d, 1))}"/>'
            f'<rect class="c2" x="{_n(x + 1.5)}" width="7" y="{_n(c)}" height="{_n(max(b - c, 1))}"/>'
            f'<rect class="middle" x="{_n(x + 1.5)}" width="7" y="{_n(middle - 1)}" height="2"/></g>'
        )
    return "".join(parts) + "</svg>"


def _stretched(css: str, width: float, height: float, name: str, title: str, desc: str) -> str:
    return (
        f'<svg class="{css}" viewBox="0 0 {_n(width)} {_n(height)}" preserveAspectRatio="none" role="img" '
        f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(desc)}</desc>'
    )


@dataclass(frozen=True)
class _Plot:
    """From data units to the drawing's units."""

    x: Axis
    y: Axis
    left: float
    right: float
    top: float
    bottom: float

    def h(self, value: float) -> float:
        return round(self.left + self.x.at(value) * (self.right - self.left), 1)

    def v(self, value: float) -> float:
        return round(self.bottom - self.y.at(value) * (self.bottom - self.top), 1)


def _n(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")


def _short(label: str, ends: bool) -> str:
    if len(label) <= _LABEL_CHARS:
        return label
    if ends:
        half = (_LABEL_CHARS - 1) // 2
        return f"{label[:half].rstrip()}…{label[-half:].lstrip()}"
    return label[: _LABEL_CHARS - 1].rstrip() + "…"


def _shortened(labels: Sequence[str]) -> list[str]:
    """Labels that fit beside a chart. Those that begin alike keep their ends too, or they would read the same."""
    cut = [_short(label, ends=False) for label in labels]
    return cut if len(set(cut)) == len(set(labels)) else [_short(label, ends=True) for label in labels]


def _frame(p: _Plot, x_label: str) -> list[str]:
    parts = []
    for t, words in zip(p.y.ticks, p.y.texts, strict=True):
        at = p.v(t)
        parts.append(f'<line class="grid" x1="{_n(p.left)}" x2="{_n(p.right)}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text class="end" x="{_n(p.left - 7)}" y="{_n(at + 4)}">{escape(words)}</text>')
    low = _n(p.bottom)
    parts.append(f'<line class="base" x1="{_n(p.left)}" x2="{_n(p.right)}" y1="{low}" y2="{low}"/>')
    for t, words in zip(p.x.ticks, p.x.texts, strict=True):
        at = p.h(t)
        parts.append(f'<line class="base" x1="{at}" x2="{at}" y1="{low}" y2="{_n(p.bottom + 4)}"/>')
        parts.append(f'<text class="mid" x="{at}" y="{_n(p.bottom + 17)}">{escape(words)}</text>')
    middle = _n((p.left + p.right) / 2)
    parts.append(f'<text class="mid name" x="{middle}" y="{_n(p.bottom + 36)}">{escape(x_label)}</text>')
    return parts


def _level(p: _Plot, ln: Line) -> list[str]:
    assert ln.level is not None
    at = p.v(ln.level)
    tip = f"<title>{escape(ln.tips[0])}</title>" if ln.tips else ""
    return [
        f'<line class="{ln.style.css} line" {_dash(ln.style)}x1="{_n(p.left)}" x2="{_n(p.right)}" y1="{at}" y2="{at}"/>'
        f'<line class="hit tip" x1="{_n(p.left)}" x2="{_n(p.right)}" y1="{at}" y2="{at}">{tip}</line>'
    ]


def _band(p: _Plot, ln: Line) -> list[str]:
    if not ln.band:
        return []
    if ln.level is not None:
        xs = [p.left, p.right]
        band = [ln.band[0]] * 2
    else:
        at = _thin([(p.h(a), 0.0) for a in ln.xs], _POINTS, None)
        xs, band = [p.h(ln.xs[i]) for i in at], [ln.band[i] for i in at]
    there = [f"{_n(x)},{_n(p.v(high))}" for x, (_, high) in zip(xs, band, strict=True)]
    back = [f"{_n(x)},{_n(p.v(low))}" for x, (low, _) in zip(xs, band, strict=True)]
    return [f'<polygon class="{ln.style.css} band" points="{" ".join(there + back[::-1])}"/>']


def _dash(style: Style) -> str:
    return f'stroke-dasharray="{style.dash}" ' if style.dash else ""


def _curve(p: _Plot, ln: Line) -> list[str]:
    if not ln.xs:
        return []
    points = [(p.h(a), p.v(b)) for a, b in zip(ln.xs, ln.ys, strict=True)]
    most = _TIPS if ln.style is REST else _POINTS
    path = " ".join(f"{_n(a)},{_n(b)}" for a, b in (points[i] for i in _thin(points, most, ln.mark)))
    parts = []
    if len(points) > 1:
        parts.append(f'<polyline class="{ln.style.css} line" {_dash(ln.style)}points="{path}"/>')
    if ln.style is REST:
        return parts
    a, b = points[-1]
    parts.append(f'<circle class="{ln.style.css} dot" cx="{_n(a)}" cy="{_n(b)}" r="3"/>')
    if ln.mark is not None:
        a, b = points[ln.mark]
        parts.append(f'<circle class="{ln.style.css} ring" cx="{_n(a)}" cy="{_n(b)}" r="4.5"/>')
    for i in _thin(points, _TIPS, ln.mark):
        a, b = points[i]
        parts.append(
            f'<circle class="hit tip" cx="{_n(a)}" cy="{_n(b)}" r="7"><title>{escape(ln.tips[i])}</title></circle>'
        )
    return parts


def _thin(points: Sequence[tuple[float, float]], most: int, keep: int | None) -> list[int]:
    """Indices of at most about ``most`` points, evenly spread over the drawing's width, always with both ends."""
    last = len(points) - 1
    by_column = {int((a - points[0][0]) / (WIDTH / most)): i for i, (a, _) in enumerate(points)}
    return sorted({0, last, *by_column.values()} | (set() if keep is None else {keep}))


def _labels(p: _Plot, lines: Sequence[Line]) -> list[str]:
    """Names at the right edge, each as near to its line's end as the others allow."""
    drawn = [ln for ln in lines if ln.xs or ln.level is not None]
    order = sorted(drawn, key=lambda ln: p.v(ln.end))
    at: list[float] = []
    for ln in order:
        at.append(max(p.v(ln.end), at[-1] + _LINE if at else p.top))
    limit = p.bottom
    for i in reversed(range(len(at))):
        at[i] = min(at[i], limit)
        limit = at[i] - _LINE
    parts = []
    for ln, y, short in zip(order, at, _shortened([ln.label for ln in order]), strict=True):
        end, x = p.v(ln.end), p.right
        start = x if ln.level is not None else p.h(ln.xs[-1]) + 4
        bend = f"{_n(start)},{_n(end)} {_n(max(x, start))},{_n(end)} {_n(x + 9)},{_n(y)} {_n(x + 16)},{_n(y)}"
        parts.append(f'<polyline class="{ln.style.css} lead" points="{bend}"/>')
        full = f"<title>{escape(ln.label)}</title>" if short != ln.label else ""
        css = "label goal" if ln.style is TARGET else "label"
        parts.append(f'<text class="{css}" x="{_n(x + 19)}" y="{_n(y + 4)}">{full}{escape(short)}</text>')
    return parts


def curve(
    line: Line,
    pairs: Sequence[tuple[float, float]],
    tips: Sequence[str],
    mark: int | None,
    band: Sequence[tuple[float, float]] = (),
) -> Line:
    """The line with its points. Those that a logarithmic axis cannot show (x <= 0) are left out."""
    kept = [i for i, (x, _) in enumerate(pairs) if 0 < x < float("inf")]
    return replace(
        line,
        xs=tuple(pairs[i][0] for i in kept),
        ys=tuple(pairs[i][1] for i in kept),
        tips=tuple(tips[i] for i in kept),
        mark=kept.index(mark) if mark in kept else None,
        band=tuple(band[i] for i in kept) if band else (),
    )
