"""Pictures for a paper or a notebook: quality against rounds and bytes, and who holds what."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from foedus.core.errors import BadInput
from foedus.core.records.run import Record
from foedus.core.text import visible
from foedus.report.files import write_whole
from foedus.report.holdings import Holdings, holdings
from foedus.report.likeness import called
from foedus.report.looks import DASH_DOT, DASHED, DOTTED, styles
from foedus.report.summary import TOGETHER, Comparison, Metric, Runs, Summary, compare
from foedus.report.units import human_bytes, human_count

if TYPE_CHECKING:
    from foedus.core.types.data import FederatedDataset


# Metadata without dates: the same runs make the same file.
_FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"dpi": 160},
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
}
_COLORS = ("#0b6fb8", "#d55e00", "#00916a", "#b3509a", "#b98900", "#3aa0d8", "#7a5195", "#8c5a3c")
_GREYS = ("#5b6470", "#8a929c")
_CLASSES = (
    "#4f46a5", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#bbbfc6",
)  # fmt: skip
_REST = "#d3d7dd"
_DASHES = {DASHED: "--", DOTTED: ":", DASH_DOT: "-."}
_INK, _SOFT, _FAINT = "#1b1f24", "#5b6470", "#e4e7eb"


@overload
def plot(runs: Runs, path: None = None) -> Picture: ...
@overload
def plot(runs: Runs, path: str | Path) -> Path: ...
def plot(runs: Runs, path: str | Path | None = None) -> Path | Picture:
    """Draw quality against rounds and against bytes (against epochs where nothing was sent), and return the path; or
    without a path the picture, which a notebook's cell shows.

    ``runs``  a run, a list of runs, or a dict from label to a run or to the runs of several seeds: these are a line at
              their mean and a band from the lowest to the highest.
    ``path``  ends in ``.png``, ``.svg`` or ``.pdf``.
    Errors: ``BadInput`` for another suffix, no runs, or a path that cannot be written.
    """
    file, suffix = (None, "") if path is None else _file(path)
    c = compare(runs)
    figure = _figure(9.6, 3.9)
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
        left.set_ylabel(c.metric.title, color=_INK)
    _legend(figure, left)
    if any(s.n > 1 for s in c.shown):
        figure.supxlabel("mean over seeds; bands from the lowest to the highest", color=_SOFT, fontsize=8.5)
    return Picture(figure) if file is None else _save(figure, file, suffix, "the plot")


def holdings_figure(data: FederatedDataset, path: str | Path) -> Path:
    """Draw the rows of each class at each node (for regression, also the targets), and return the path.

    ``path``  ends in ``.png``, ``.svg`` or ``.pdf``. Of more than 60 nodes 60 are drawn, from the largest to the
              smallest. Errors: ``BadInput`` for another suffix, or a path that cannot be written.
    """
    file, suffix = _file(path)
    from foedus.report.measured import of_data

    split = of_data(data)
    held = holdings(split)
    boxes = [split.targets[k] for k in held.nodes] if split.targets is not None else None
    figure = _figure(9.6, 3.9 if boxes is None else 6.2)
    axes = figure.subplots(1 if boxes is None else 2, 1, sharex=True, squeeze=False)[:, 0]
    places = list(range(len(held.nodes)))
    below = [0] * len(places)
    for group, color, rows in zip(held.groups, _group_colors(held), zip(*held.stacks, strict=True), strict=True):
        axes[0].bar(places, rows, 0.86, bottom=below, color=color, label=_label(group), linewidth=0)
        below = [b + r for b, r in zip(below, rows, strict=True)]
    axes[0].set_ylabel("rows", color=_INK)
    axes[0].yaxis.set_major_formatter(lambda n, _: human_count(n))
    if boxes is not None:
        low, q1, middle, q3, high = zip(*boxes, strict=True)
        axes[1].vlines(places, low, high, color=_GREYS[1], linewidth=1.2)
        axes[1].bar(places, [b - a for a, b in zip(q1, q3, strict=True)], 0.7, bottom=q1, color=_CLASSES[2])
        axes[1].plot(places, middle, "_", color=_INK, markersize=max(3, min(14, 260 / len(places))))
        axes[1].set_ylabel("target: median, half, 90 %", color=_INK)
    for ax in axes:
        _dress(ax)
    axes[-1].set_xlim(-0.6, len(places) - 0.4)
    every = 1 if len(places) <= 24 else 5
    if held.chosen:
        axes[-1].set_xticks([places[0], places[-1]], ["largest node", "smallest node"])
        axes[-1].get_xticklabels()[-1].set_ha("right")
        axes[-1].get_xticklabels()[0].set_ha("left")
        axes[-1].set_xlabel(held.chosen, color=_INK)
    else:
        names = [str(k) if split.names is None else _label(split.node(k)) for k in held.nodes]
        crowded = sum(map(len, names[::every])) > 110
        turn = {"rotation": 40, "ha": "right"} if crowded else {}
        axes[-1].set_xticks(places[::every], names[::every], **turn)
        axes[-1].set_xlabel("node", color=_INK)
    if len(held.groups) > 1:
        _legend(figure, axes[0])
    return _save(figure, file, suffix, "the picture")


def _group_colors(held: Holdings) -> list[str]:
    return [_CLASSES[int(css[1:])] for css in held.css]


def _file(path: str | Path) -> tuple[Path, str]:
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in _FORMATS:
        raise BadInput(f"a plot's path ends in {', '.join(_FORMATS)}, got {file.name!r}")
    return file, suffix


class Picture:
    """A figure of Matplotlib that a cell shows once: pyplot does not know of it, and so does not show it again.

    ``figure``  Matplotlib's own, to add to or to save otherwise.
    """

    def __init__(self, figure: Any) -> None:
        self.figure = figure

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        # Twice the pixels that it takes on the page: screens are finer than 80 dots an inch.
        width, height = (round(80 * inches) for inches in self.figure.get_size_inches())
        return _drawn(self.figure, ".png"), {"width": width, "height": height}


def _figure(width: float, height: float) -> Any:
    # Imported when needed: it takes a third of a second, which every worker process would pay.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # The object API: no pyplot, so no window, no backend and no state shared with the user's own figures.
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(wspace=0.04)  # type: ignore[call-arg]
    return figure


def _legend(figure: Any, ax: Any) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        most = 4 if max(map(len, labels)) > 12 else 6
        figure.legend(
            handles, labels, loc="outside upper left", ncols=min(most, len(labels)), frameon=False, labelcolor=_INK
        )


def _save(figure: Any, file: Path, suffix: str, what: str) -> Path:
    return write_whole(file, _drawn(figure, suffix), what)


def _drawn(figure: Any, suffix: str) -> bytes:
    from matplotlib import rc_context

    drawn = io.BytesIO()
    # Names inside an SVG are hashes of a random salt unless it is given one.
    with rc_context({"svg.hashsalt": "foedus"}):
        figure.savefig(drawn, format=suffix[1:], **_FORMATS[suffix])
    return drawn.getvalue()


def _panel(ax: Any, c: Comparison, read: Callable[[Record], float], x_label: str, *, log: bool) -> None:
    drawn = False
    looks = styles([s.role for s in c.programs])
    # Beside programs that communicate, a baseline without communication is a level to compare with.
    levels = bool(c.with_role(TOGETHER))
    color = 0
    for s, look in zip(c.programs, looks, strict=True):
        if s not in c.shown:
            if s.role == TOGETHER or not levels:
                drawn |= _line(
                    ax,
                    s,
                    called(c, s),
                    read,
                    {"color": _REST, "linewidth": 0.9, "zorder": 1.5},
                    rest=True,
                    positive=log,
                )
            continue
        if s.role == TOGETHER:
            line = {"color": _COLORS[color % len(_COLORS)], "linewidth": 2.0}
            color += 1
        else:
            line = {"color": _GREYS[look.css == "g1"], "linewidth": 1.6, "linestyle": _DASHES[look.dash]}
        drawn |= _line(ax, s, called(c, s), read, line, level=s.role != TOGETHER and levels, positive=log)
    if log and drawn:
        ax.set_xscale("log")
    else:
        from matplotlib.ticker import MaxNLocator

        ax.xaxis.set_major_locator(MaxNLocator(6, integer=x_label == "rounds"))
        ax.xaxis.set_major_formatter(lambda x, _: human_count(x))
    if c.metric is not None:
        _values(ax, c.metric, [v for s in c.programs for v in (*s.values, *s.finals)])
    if not drawn:
        ax.text(0.5, 0.5, "nothing was evaluated", transform=ax.transAxes, ha="center", va="center", color=_SOFT)
    ax.set_xlabel(x_label, color=_INK)
    _dress(ax)


def _dress(ax: Any) -> None:
    ax.grid(axis="y", color=_FAINT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(colors=_SOFT, labelsize=9, length=3)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(_SOFT)


def _label(s: str) -> str:
    # Matplotlib hides labels that start with an underscore, and reads mathematics between dollar signs.
    return visible(s).lstrip("_").replace("$", r"\$")


def _line(
    ax: Any, s: Summary, name: str, read: Callable[[Record], float], line: dict[str, Any], *, positive: bool,
    level: bool = False, rest: bool = False,
) -> bool:  # fmt: skip
    """Draw one setting; True if there was something to draw. ``rest``: in the background, without name and band."""
    if s.final is None:
        return False
    band = {"color": line["color"], "alpha": 0.17, "linewidth": 0}
    if level:
        ax.axhline(s.final, label=_label(name), **line)
        if len(s.finals) > 1:
            ax.axhspan(min(s.finals), max(s.finals), **band)
        return True
    curve = zip((float(read(r)) for r in s.evaluated), s.values, s.low, s.high, strict=True)
    points = [p for p in curve if p[0] > 0 or not positive]
    if not points:
        return False
    xs, ys, low, high = zip(*points, strict=True)
    ax.plot(xs, ys, label=None if rest else _label(name), **line)
    if not rest:
        ax.plot(xs[-1], ys[-1], marker="o", markersize=4.5, color=line["color"])
        if s.n > 1:
            ax.fill_between(xs, low, high, **band)
    return True


def _values(ax: Any, metric: Metric, values: list[float]) -> None:
    if not metric.share and values and min(values) > 0 and max(values) > 30 * min(values):
        ax.set_yscale("log")
    elif metric.share:
        ax.yaxis.set_major_formatter(lambda v, _: metric.target_text(v))
