"""The plot: quality against rounds and against bytes, as a picture for a paper or a notebook."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foedus.core.errors import BadInput
from foedus.core.run import Record
from foedus.report.files import write_whole
from foedus.report.summary import TOGETHER, Comparison, Metric, Runs, Summary, compare
from foedus.report.units import human_bytes, human_count

# Metadata without dates: the same runs make the same file.
_FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"dpi": 160},
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
}
_COLORS = ("#0b6fb8", "#d55e00", "#00916a", "#b3509a", "#b98900", "#3aa0d8")
_GREYS = ("#5b6470", "#8a929c")
_INK, _SOFT, _FAINT = "#1b1f24", "#5b6470", "#e4e7eb"


def plot(runs: Runs, path: str | Path) -> Path:
    """Draw quality against rounds and against bytes (against epochs where nothing was sent), and return the path.

    ``runs``  a run, a list of runs, or a dict from label to run.   ``path``  ends in ``.png``, ``.svg`` or ``.pdf``.
    Errors: ``BadInput`` for another suffix, no runs, or a path that cannot be written.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in _FORMATS:
        raise BadInput(f"a plot's path ends in {', '.join(_FORMATS)}, got {file.name!r}")
    c = compare(runs)
    # Imported when needed: it takes a third of a second, which every worker process would pay.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # The object API: no pyplot, so no window, no backend and no state shared with the user's own figures.
    figure = Figure(figsize=(9.6, 3.9), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(wspace=0.04)  # type: ignore[call-arg]
    left, right = figure.subplots(1, 2, sharey=True)
    sent = any(s.bytes > 0 for s in c.programs)
    _panel(left, c, lambda r: r.round, "rounds", log=False)
    if sent:
        _panel(right, c, lambda r: r.bytes_up + r.bytes_down, "bytes up and down", log=True)
        right.xaxis.set_major_formatter(lambda x, _: human_bytes(x))
        right.xaxis.set_minor_formatter("")
    else:
        _panel(right, c, lambda r: r.epochs, "local epochs", log=False)
    if c.metric is not None:
        left.set_ylabel(c.metric.label[:1].upper() + c.metric.label[1:], color=_INK)
    handles, labels = left.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, loc="outside upper left", ncols=min(4, len(labels)), frameon=False, labelcolor=_INK
        )
    drawn = io.BytesIO()
    figure.savefig(drawn, format=suffix[1:], **_FORMATS[suffix])
    return write_whole(file, drawn.getvalue(), "the plot")


def _panel(ax: Any, c: Comparison, read: Callable[[Record], float], x_label: str, *, log: bool) -> None:
    color = grey = 0
    drawn = False
    # Beside programs that communicate, a baseline without communication is a level to compare with.
    levels = bool(c.with_role(TOGETHER))
    for s in c.programs:
        if s.role == TOGETHER:
            line = {"color": _COLORS[color % len(_COLORS)], "linewidth": 2.0}
            color += 1
        else:
            line = {"color": _GREYS[grey % 2], "linewidth": 1.6, "linestyle": ("--", ":", "-.")[grey % 3]}
            grey += 1
        drawn |= _line(ax, s, read, line, level=s.role != TOGETHER and levels, positive=log)
    if log and drawn:
        ax.set_xscale("log")
    else:
        from matplotlib.ticker import MaxNLocator

        ax.xaxis.set_major_locator(MaxNLocator(6, integer=x_label == "rounds"))
        ax.xaxis.set_major_formatter(lambda x, _: human_count(x))
    if c.metric is not None:
        _values(ax, c.metric, [v for s in c.programs for v in s.values])
    if not drawn:
        ax.text(0.5, 0.5, "nothing was evaluated", transform=ax.transAxes, ha="center", va="center", color=_SOFT)
    ax.set_xlabel(x_label, color=_INK)
    ax.grid(axis="y", color=_FAINT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(colors=_SOFT, labelsize=9, length=3)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(_SOFT)


def _line(
    ax: Any, s: Summary, read: Callable[[Record], float], line: dict[str, Any], *, level: bool, positive: bool
) -> bool:
    """Draw one run; True if there was something to draw."""
    if s.final is None:
        return False
    # Matplotlib hides labels that start with an underscore, and reads mathematics between dollar signs.
    label = s.label.lstrip("_").replace("$", r"\$")
    if level:
        ax.axhline(s.final, label=label, **line)
        return True
    pairs = [(float(read(r)), v) for r, v in zip(s.evaluated, s.values, strict=True)]
    pairs = [(x, v) for x, v in pairs if x > 0 or not positive]
    if not pairs:
        return False
    xs, ys = zip(*pairs, strict=True)
    ax.plot(xs, ys, label=label, **line)
    ax.plot(xs[-1], ys[-1], marker="o", markersize=4.5, color=line["color"])
    return True


def _values(ax: Any, metric: Metric, values: list[float]) -> None:
    if not metric.share and values and min(values) > 0 and max(values) > 30 * min(values):
        ax.set_yscale("log")
    elif metric.share:
        ax.yaxis.set_major_formatter(lambda v, _: metric.target_text(v))
