"""The picture for a paper: speed-up as measured, and as the simulator continues it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foedus.network import theory
from foedus.report.pictures import _COLORS, _GREYS, _INK, _SOFT, _dress, _figure, _file, _save
from foedus.report.speedup.found import Curve, Found


def plot(found: Found, path: str | Path) -> Path:
    """Draw it and return the path, which ends in ``.png``, ``.svg`` or ``.pdf``.

    Left: measured, against the ideal line, what the machine allows, Amdahl's law and the cost model. Right: the
    simulated curves, their closed forms dash-dotted. Errors: ``BadInput`` for another suffix or a path that cannot be
    written.
    """
    file, suffix = _file(path)
    further = [s for s in found.simulated if len(s.nodes) > 1]
    figure = _figure(10.4 if further else 5.6, 4.3)
    axes = figure.subplots(1, 2 if further else 1, squeeze=False)[0]
    _measured(axes[0], found)
    if further:
        _simulated(axes[1], found)
    for ax in axes:
        _dress(ax)
        ax.legend(frameon=False, labelcolor=_INK, fontsize=8.5, loc="upper left")
    return _save(figure, file, suffix, "the plot")


def _measured(ax: Any, found: Found) -> None:
    ps = list(found.processes)
    ax.plot(ps, ps, color=_GREYS[1], linewidth=1.1, linestyle=":", label="ideal")
    first = found.curves[0]
    allowed = [(p.p, p.limit) for p in first.strong if p.limit is not None]
    if allowed:
        ax.plot(*zip(*allowed, strict=True), color=_GREYS[0], linewidth=1.6, linestyle="--", label="machine allows")
    for k, curve in enumerate(found.curves):
        _curve(ax, curve, _COLORS[k % len(_COLORS)], curve.name if len(found.curves) > 1 else "measured")
    if len(found.curves) == 1 and first.amdahl is not None:
        law = [theory.amdahl(first.amdahl, p) for p in ps]
        ax.plot(ps, law, color=_COLORS[0], linewidth=1.3, linestyle="-.", label=f"Amdahl, f = {first.amdahl:.3f}")
    if max(ps) > found.cores:
        ax.axvspan(found.cores, max(ps) * 1.04, color=_GREYS[1], alpha=0.10, linewidth=0)
        ax.text(
            found.cores * 1.02, 0.02, f"more than {found.cores} cores", color=_SOFT, fontsize=8,
            transform=ax.get_xaxis_transform(),
        )  # fmt: skip
    ax.set_xlim(min(ps) - 0.04 * max(ps), max(ps) * 1.04)
    ax.set_xticks(ps)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("processes", color=_INK)
    ax.set_ylabel("speed-up, measured", color=_INK)


def _curve(ax: Any, curve: Curve, color: str, name: str) -> None:
    one = curve.strong[0].seconds.median
    ps = [p.p for p in curve.strong]
    low = [p.speedup - one / p.seconds.high for p in curve.strong]
    high = [one / p.seconds.low - p.speedup for p in curve.strong]
    ax.errorbar(
        ps, [p.speedup for p in curve.strong], yerr=[low, high], color=color, linewidth=2.0, marker="o", markersize=4.5,
        capsize=2.5, elinewidth=1.0, label=name,
    )  # fmt: skip
    said = [(p.p, one / p.predicted) for p in curve.strong if p.predicted is not None]
    if said:
        label = "cost model" if name == "measured" else None
        ax.plot(*zip(*said, strict=True), color=color, linestyle="none", marker="x", markersize=7, label=label)


def _simulated(ax: Any, found: Found) -> None:
    most = max(n for s in found.simulated for n in s.nodes)
    ax.plot([1, most], [1, most], color=_GREYS[1], linewidth=1.1, linestyle=":", label="ideal")
    for k, s in enumerate(found.simulated):
        color = _COLORS[k % len(_COLORS)]
        if s.law:
            name = None if s.speedups else f"{s.program} (closed form)"
            ax.plot(s.nodes, s.law, color=color, linewidth=0.9, linestyle="-.", label=name)
        if s.speedups:
            ax.plot(s.nodes, s.speedups, color=color, linewidth=2.0, marker="o", markersize=3.5, label=s.program)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}" if y >= 1 else f"1/{1 / y:,.0f}")
    ax.set_xlabel("nodes, each with a core and a link of its own", color=_INK)
    ax.set_ylabel("speed-up, simulated", color=_INK)
