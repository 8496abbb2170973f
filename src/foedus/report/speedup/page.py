"""The page of a speed-up: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from foedus.report.document import filled
from foedus.report.files import write_whole
from foedus.report.looks import Style, program
from foedus.report.markup import text
from foedus.report.speedup.charts import scaling, simulated
from foedus.report.speedup.found import KINDS, Curve, Found, Point, Straggler
from foedus.report.speedup.show import counted, facts, ratio, signed
from foedus.report.speedup.verdict import main_point, more, processes, troubles, verdict
from foedus.report.table import cell
from foedus.report.units import human_bytes, human_seconds, percent, three_digits
from foedus.report.verdict import Tile

_BARS = {"compute_s": "compute", "serial_s": "serial", "wire_s": "wire", "waiting_s": "waiting"}
"""The page's colours, by kind of time."""


def page(found: Found, path: str | Path) -> Path:
    """Write it and return its path, a file that ends in ``.html``. Errors: ``BadInput`` if it cannot be written."""
    return write_whole(Path(path), render(found).encode(), "the page")


def render(found: Found) -> str:
    """The page's HTML."""
    said = "".join(f'<p class="trouble">{text(s)}</p>' for s in troubles(found))
    said += "".join(f'<p class="more">{text(s)}</p>' for s in more(found))
    sections = [
        *(_curve(found, c) for c in found.curves),
        _traffic(found),
        _stragglers(found),
        _simulated(found),
        _how(found),
    ]
    return filled(
        title=f"{found.name}: how much faster together",
        verdict=verdict(found),
        more=said,
        tiles=_tiles(found),
        sections=[s for s in sections if s],
        notes=found.notes,
    )


def _tiles(found: Found) -> list[Tile]:
    _, point = main_point(found)
    tiles = [
        Tile(ratio(point.speedup), "speed-up", f"{processes(point.p)} on {found.cores} cores"),
        Tile(ratio(point.efficiency), "efficiency", "the share of a core that is put to use"),
    ]
    if point.limit is not None:
        tiles.append(Tile(ratio(point.limit), "machine allows", "the same computing without communication"))
    tiles.append(Tile(human_seconds(point.seconds.median), "a round", _quartiles(point)))
    if point.deviation is not None:
        tiles.append(Tile(f"{100 * point.deviation:+.0f} %", "cost model", "predicted time against measured"))
    return tiles


def _quartiles(p: Point) -> str:
    return f"half of {p.seconds.n}: {human_seconds(p.seconds.low)} to {human_seconds(p.seconds.high)}"


def _curve(found: Found, c: Curve) -> str:
    title = f"By {c.exchange} over {c.wire}" if len(found.curves) > 1 else "Speed-up"
    panels = [("The same work, divided", scaling(found, c, weak=False))]
    if len(c.weak) > 1:
        panels.append(("Work that grows with the processes", scaling(found, c, weak=True)))
    drawn = "".join(f'<div class="panel"><h3>{text(head)}</h3>{chart}</div>' for head, chart in panels)
    lead = (
        f"{found.rows:,} rows divided among the processes"
        + (f", and {c.weak[0].rows:,} rows for each" if len(c.weak) > 1 else "")
        + ". The band goes from quartile to quartile; “machine” is the same computing without any communication, "
        "which is what the machine allows."
    )
    return (
        f'<h2>{text(title)}</h2><p class="lead">{text(lead)}</p><figure><div class="panels">{drawn}</div>'
        f"<figcaption>{text(_laws(found, c))}</figcaption></figure>{_shares(c)}{_points(found, c)}"
    )


def _laws(found: Found, c: Curve) -> str:
    said = []
    if c.amdahl is not None:
        said.append(f"Amdahl's law with f = {c.amdahl:.3f} is the nearest to the left, in 1/S.")
    if c.gustafson is not None:
        said.append(f"Gustafson's with f = {c.gustafson:.3f} is the nearest to the right.")
    if any(p.oversubscribed for p in c.strong):
        said.append(
            f"Beyond {found.cores} cores (the grey line) processes take turns: neither law is fitted there, and the "
            "cost model is not meant for it."
        )
    return " ".join(said)


def _shares(c: Curve) -> str:
    points = [p for p in c.strong if p.shares]
    if not points:
        return ""
    key = "".join(f'<li><i class="{_BARS[k]}"></i>{word}</li>' for k, word in KINDS.items())
    rows = "".join(_bar(p) for p in points)
    return (
        f'<figure><h3>Where a process spends a round</h3><ul class="key">{key}</ul><div class="split">{rows}</div>'
        "</figure>"
    )


def _bar(p: Point) -> str:
    words = ", ".join(f"{KINDS[k]} {percent(p.shares.get(k), 0)}" for k in KINDS)
    bars = "".join(
        f'<span class="{_BARS[k]}" style="width:{100 * p.shares[k]:.2f}%"></span>' for k in KINDS if p.shares.get(k)
    )
    return (
        f'<div class="label">{processes(p.p)} <small>{text(human_seconds(p.seconds.median))} a round</small></div>'
        f'<div><div class="bar" role="img" aria-label="{escape(words)}">{bars}</div>'
        f'<div class="shares">{text(words)}</div></div>'
    )


def _points(found: Found, c: Curve) -> str:
    heads = ("a round", "quartiles", "speed-up", "efficiency", "machine allows", "cost model", "off by")
    rows = []
    for scaled, points in (("", c.strong), (", grown", c.weak if len(c.weak) > 1 else ())):
        for p in points:
            over = f" on {found.cores} cores" if p.oversubscribed else ""
            s = p.seconds
            values = (
                human_seconds(s.median), f"{three_digits(1e3 * s.low)} to {three_digits(1e3 * s.high)} ms",
                ratio(p.speedup), ratio(p.efficiency), ratio(p.limit), human_seconds(p.predicted), signed(p.deviation),
            )  # fmt: skip
            rows.append((f"{processes(p.p)}{over}{scaled}", values))
    return _table("processes", heads, rows)


def _traffic(found: Found) -> str:
    if not found.traffic:
        return ""
    heads = ("messages (formula)", "vectors (formula)", "bytes", "a round")
    rows = [
        (
            f"{t.exchange}, {t.wire}",
            (
                counted(t.messages, t.formula_messages), counted(t.vectors, t.formula_vectors), human_bytes(t.nbytes),
                human_seconds(t.seconds),
            ),
        )
        for t in found.traffic
    ]  # fmt: skip
    lead = (
        f"What {processes(found.traffic[0].p)} send in one round, counted where bytes leave a process; headers are why "
        f"it is a little more than whole vectors of {human_bytes(found.vector_bytes)}."
    )
    return f'<h2>What is sent</h2><p class="lead">{text(lead)}</p>{_table("exchange, wire", heads, rows)}'


def _stragglers(found: Found) -> str:
    if not found.stragglers:
        return ""
    factor = found.stragglers[0].factor
    # In the order of the simulated curves, where the same names have the same colours.
    names = list(dict.fromkeys([*(s.program for s in found.simulated), *(s.program for s in found.stragglers)]))
    rows = "".join(_straggler(s, program(names.index(s.program))) for s in found.stragglers)
    caption = (
        f"One process takes {factor:g} times as long on purpose. Who waits for all is as slow as the slowest; who "
        "waits for nobody loses that one process's part and no more. Sleeping processes need no core, so the machine "
        "does not disturb the comparison; the mark is the theory."
    )
    return (
        "<h2>Stragglers, on purpose</h2>"
        f'<figure><h3>Share of updates lost</h3><div class="split strips">{rows}</div>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _straggler(s: Straggler, look: Style) -> str:
    lost, theory = (100 * min(1.0, max(0.0, x)) for x in (s.lost, s.theory))
    how = "sleeping" if s.sleeping else "computing"
    words = (
        f"{percent(s.lost, 0)} lost (theory {percent(s.theory, 0)}): {three_digits(s.slowed)} updates a second instead "
        f"of {three_digits(s.rate)}"
    )
    label = f'<div class="label">{escape(s.program)} <small>{s.p} {how}</small></div>'
    return (
        f'{label}<div><svg class="strip" height="22" role="img" aria-label="{escape(words)}">'
        f'<rect class="{look.css} seen" x="0" y="4" height="14" width="{lost:.1f}%"/>'
        f'<line class="base" x1="0" x2="0" y1="0" y2="22"/>'
        f'<line class="mean" x1="{theory:.1f}%" x2="{theory:.1f}%" y1="0" y2="22"/></svg>'
        f'<div class="shares">{text(words)}</div></div>'
    )


def _simulated(found: Found) -> str:
    if not any(len(s.nodes) > 1 for s in found.simulated):
        return ""
    lead = (
        "The simulator, calibrated with what was measured here, goes on: the file's model and data in real runs on "
        "virtual time. There every node has a core and a link of its own, so nothing is in it of what processes of one "
        "machine take from each other; the rows are the same, divided ever further."
    )
    caption = (
        "Rows a second of virtual time, relative to one node. Dash-dotted lines are closed forms. Synchronous nodes "
        "wait for each other and for one server, asynchronous ones for the server alone; decentralised ones send one "
        "model a round to one neighbour of the exponential graph. Jobs that fit the processor's cache take less a "
        "row, so a curve can begin above the ideal line. How fast each learns from a row is another question."
    )
    return (
        f'<h2>Beyond this machine</h2><p class="lead">{text(lead)}</p><figure><div class="panels">'
        f'<div class="panel">{simulated(found)}</div><div class="panel">{_simulated_table(found)}</div></div>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _simulated_table(found: Found) -> str:
    curves = [s for s in found.simulated if s.speedups]
    nodes = sorted({n for s in curves for n in s.nodes})
    by = [dict(zip(s.nodes, s.speedups, strict=True)) for s in curves]
    rows = [(f"{n:,}", tuple(three_digits(d[n]) if n in d else "–" for d in by)) for n in nodes]
    return _table("nodes", [s.program for s in curves], rows)


def _how(found: Found) -> str:
    pairs = [
        *facts(found),
        ("rounds", f"{found.rounds} of every run are counted, and all runs take turns"),
        *found.origin.items(),
    ]
    said = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in pairs if v)
    return (
        '<h2>How it was measured</h2><p class="lead">Calibrated in runs of their own, apart from those above.</p>'
        f'<dl class="facts">{said}</dl>'
    )


def _table(first: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    top = "".join(f'<th scope="col" role="columnheader">{text(h)}</th>' for h in heads)
    body = "".join(
        f'<tr role="row"><th scope="row" class="who" role="rowheader" style="padding-left:0">{text(name)}</th>'
        + "".join(cell(h, v) for h, v in zip(heads, values, strict=True))
        + "</tr>"
        for name, values in rows
    )
    return (
        '<div class="scroll"><table class="compare tight fits" role="table"><thead role="rowgroup"><tr role="row">'
        f'<th scope="col" class="who" role="columnheader">{text(first)}</th>{top}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></div>'
    )
