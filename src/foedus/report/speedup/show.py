"""What the command line prints of a speed-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from foedus.report.speedup.found import Curve, Found, Point
from foedus.report.speedup.verdict import more, processes, troubles, verdict
from foedus.report.terminal import Column, Facts, Grid, Sheet, Words
from foedus.report.units import MISSING, human_bytes, human_count, human_seconds, percent, three_digits

_SHORT = {"compute_s": "compute", "serial_s": "serial", "wire_s": "wire", "waiting_s": "wait"}


def show(found: Found) -> Sheet:
    """The sentence, and tables of everything that was measured."""
    blocks: list[Words | Facts | Grid] = [
        Words(verdict(found), "bold"),
        *(Words(t, "yellow") for t in troubles(found)),
        *(Words(t) for t in more(found)),
    ]
    for curve in found.curves:
        blocks += [Words(f"{_title(found, curve)}: {found.rows:,} rows divided among p", "cyan"), _strong(curve)]
        if len(curve.weak) > 1:
            blocks += [Words(f"Work that grows with p: {curve.weak[0].rows:,} rows each", "cyan"), _weak(curve)]
    if found.traffic:
        blocks += [Words(f"Sent in a round by {processes(found.traffic[0].p)}, counted (formula)", "cyan")]
        blocks += [traffic(found)]
    if found.stragglers:
        blocks += [Words("One process slowed on purpose: updates lost", "cyan"), _stragglers(found)]
    if any(s.speedups for s in found.simulated):
        blocks += [Words("Simulated speed-up, every node with a core and a link of its own", "cyan"), _simulated(found)]
    blocks.append(Facts(tuple(facts(found))))
    blocks += [Words(note, "yellow") for note in found.notes]
    return Sheet(tuple(blocks))


def facts(found: Found) -> list[tuple[str, str]]:
    """What was measured, on what, and how the parts were calibrated."""
    said = [
        ("program", found.program),
        ("model", f"{found.parameters:,} numbers, {human_bytes(found.vector_bytes)}"),
        ("cores", str(found.cores)),
    ]
    said += [
        (
            f"computing, p = {j.p}",
            f"{human_seconds(j.fixed_s)} a job and {human_seconds(j.row_s)} a row, spread {percent(j.sigma, 0)}",
        )
        for j in found.jobs
    ]
    said += [
        (
            f"{c.exchange}, {c.wire}",
            f"{human_seconds(c.fixed_s)} a round, {human_seconds(c.alpha_s)} a message, {rate(c.beta_s)}",
        )
        for c in found.costs
    ]
    said += [(f"ping-pong, {w.wire}", f"{human_seconds(w.alpha_s)} a message, {rate(w.beta_s)}") for w in found.wires]
    said.append(("took", human_seconds(found.seconds)))
    return said


def rate(beta_s: float) -> str:
    """Bytes a second where a byte takes so long.

    >>> rate(1e-9), rate(0.0)
    ('1 GB/s', 'no limit seen')
    """
    return f"{human_bytes(1 / beta_s)}/s" if beta_s > 0 else "no limit seen"


def _title(found: Found, curve: Curve) -> str:
    return f"{curve.exchange} over {curve.wire}" if len(found.curves) > 1 else "Speed-up"


def ratio(x: float | None) -> str:
    """A speed-up with two decimals.

    >>> ratio(1.613), ratio(None)
    ('1.61', '–')
    """
    return MISSING if x is None else f"{x:.2f}"


def signed(x: float | None) -> str:
    """A deviation in per cent with its sign.

    >>> signed(0.042), signed(-0.1)
    ('+4 %', '-10 %')
    """
    return MISSING if x is None else f"{100 * x:+.0f} %"


def _p(point: Point) -> str:
    return f"{point.p}*" if point.oversubscribed else str(point.p)


def _strong(curve: Curve) -> Grid:
    points = curve.strong
    return _grid(
        points,
        ("p", _p, 0),
        ("a round", lambda p: human_seconds(p.seconds.median), 0),
        ("quartiles", lambda p: f"{three_digits(1e3 * p.seconds.low)}-{three_digits(1e3 * p.seconds.high)}", 3),
        ("speed-up", lambda p: ratio(p.speedup), 0),
        ("effi-\nciency", lambda p: ratio(p.efficiency), 0),
        ("machine\nallows", lambda p: ratio(p.limit), 0),
        ("model", lambda p: signed(p.deviation), 0),
        *((word, _kind(kind), 2 if kind == "serial_s" else 1) for kind, word in _SHORT.items()),
    )


def _kind(kind: str) -> Callable[[Point], str]:
    return lambda p: percent(p.shares.get(kind), 0)


def _weak(curve: Curve) -> Grid:
    return _grid(
        curve.weak,
        ("p", _p, 0),
        ("a round", lambda p: human_seconds(p.seconds.median), 0),
        ("speed-up", lambda p: ratio(p.speedup), 0),
        ("effi-\nciency", lambda p: ratio(p.efficiency), 0),
        ("machine\nallows", lambda p: ratio(p.limit), 0),
        ("model", lambda p: signed(p.deviation), 0),
    )


def traffic(found: Found) -> Grid:
    """Messages and vectors of every exchange over every wire."""
    rows = found.traffic
    return Grid(
        (
            Column("exchange", tuple(t.exchange for t in rows), left=True),
            Column("wire", tuple(t.wire for t in rows), left=True),
            Column("messages", tuple(counted(t.messages, t.formula_messages) for t in rows)),
            Column("vectors", tuple(counted(t.vectors, t.formula_vectors) for t in rows)),
            Column("bytes", tuple(human_bytes(t.nbytes) for t in rows)),
            Column("a round", tuple(human_seconds(t.seconds) for t in rows)),
        )
    )


def counted(x: float, formula: float | None) -> str:
    """What was counted, and in parentheses what the formula says.

    >>> counted(8.01, 8.0), counted(24.0, None)
    ('8.01 (8)', '24')
    """
    return three_digits(x) if formula is None else f"{three_digits(x)} ({human_count(formula)})"


def _stragglers(found: Found) -> Grid:
    rows = found.stragglers
    return Grid(
        (
            Column("program", tuple(s.program for s in rows), left=True),
            Column("p", tuple(f"{s.p} {'sleeping' if s.sleeping else 'computing'}" for s in rows), left=True),
            Column("one slowed", tuple(f"{s.factor:g} times" for s in rows)),
            Column("updates\na second", tuple(three_digits(s.rate) for s in rows)),
            Column("with it", tuple(three_digits(s.slowed) for s in rows)),
            Column("lost", tuple(percent(s.lost, 0) for s in rows)),
            Column("theory", tuple(percent(s.theory, 0) for s in rows)),
        )
    )


def _simulated(found: Found) -> Grid:
    curves = [s for s in found.simulated if s.speedups]
    nodes = sorted({n for s in curves for n in s.nodes})
    by = [dict(zip(s.nodes, s.speedups, strict=True)) for s in curves]
    return Grid(
        (
            Column("nodes", tuple(f"{n:,}" for n in nodes)),
            *(
                Column(s.program, tuple(three_digits(d[n]) if n in d else MISSING for n in nodes))
                for s, d in zip(curves, by, strict=True)
            ),
        )
    )


def _grid(points: Sequence[Point], *columns: tuple[str, Callable[[Point], Any], int]) -> Grid:
    return Grid(tuple(Column(head, tuple(str(read(p)) for p in points), spare) for head, read, spare in columns))
