"""The page's charts: speed-up against processes, and what the simulator makes of it."""

from __future__ import annotations

from foedus.network import theory
from foedus.report.axis import Axis, steps
from foedus.report.figures import Line, line_chart
from foedus.report.looks import IDEAL, LIMIT, REST, computed, program
from foedus.report.speedup.found import Curve, Found, Point, Simulated
from foedus.report.speedup.show import ratio
from foedus.report.units import human_count, human_seconds, three_digits

MEASURED, MODEL, LAW = program(0), computed(0), computed(0, second=True)


def scaling(found: Found, curve: Curve, weak: bool) -> str:
    """Measured speed-up with its quartiles, the ideal line, the machine's limit, the fitted law, the cost model."""
    points = curve.weak if weak else curve.strong
    xs = tuple(float(p.p) for p in points)
    one = points[0].seconds.median

    def of(p: Point, seconds: float) -> float:
        return (p.p if weak else 1) * one / seconds

    band = tuple((of(p, p.seconds.high), of(p, p.seconds.low)) for p in points)
    lines = [Line("measured", MEASURED, xs, tuple(p.speedup for p in points), tuple(map(_tip, points)), band=band)]
    lines.append(Line("ideal", IDEAL, xs, xs, tuple(f"ideal: {x:g}" for x in xs)))
    if all(p.limit is not None for p in points):
        ys = tuple(p.limit or 0.0 for p in points)
        lines.append(Line("machine", LIMIT, xs, ys, tuple(f"no communication: {ratio(y)}" for y in ys)))
    if all(p.predicted is not None for p in points):
        # A prediction has its own time of one process: what is off there would be hidden if it were divided out.
        ys = tuple(of(p, p.predicted or 1.0) for p in points)
        lines.append(Line("cost model", MODEL, xs, ys, tuple(f"cost model: {ratio(y)}" for y in ys)))
    f = curve.gustafson if weak else curve.amdahl
    if f is not None:
        law = theory.gustafson if weak else theory.amdahl
        ys = tuple(law(f, x) for x in xs)
        name = "Gustafson" if weak else "Amdahl"
        lines.append(Line(name, LAW, xs, ys, tuple(f"{name}, f = {f:.3f}: {ratio(y)}" for y in ys)))
    top = max(y for ln in lines for y in ln.ys)
    if found.cores < xs[-1]:
        lines.append(Line("", REST, (float(found.cores),) * 2, (0.0, top)))
    kind = "work that grows" if weak else "the same work"
    return line_chart(
        lines, _p_axis(xs), _up_to(top), name=f"{'weak' if weak else 'strong'}-{curve.exchange}-{curve.wire}",
        title=f"Speed-up with {kind}, {curve.name}",
        desc="; ".join(f"{p.p} processes: {ratio(p.speedup)}" for p in points) + ".",
        x_label="processes",
    )  # fmt: skip


def simulated(found: Found) -> str:
    """The simulated curves, their closed forms dash-dotted."""
    lines = []
    most = max(n for s in found.simulated for n in s.nodes)
    ends = [float(n) for s in found.simulated for n in s.nodes]
    lines.append(Line("ideal", IDEAL, (1.0, float(most)), (1.0, float(most)), ("ideal",) * 2))
    for k, s in enumerate(found.simulated):
        xs = tuple(map(float, s.nodes))
        if s.speedups:
            tips = tuple(map(lambda n, y, s=s: _sim_tip(s, n, y), s.nodes, s.speedups))  # type: ignore[misc]
            lines.append(Line(s.program, program(k), xs, s.speedups, tips))
        elif s.law:
            tips = tuple(f"{s.program}, closed form: {three_digits(y)}" for y in s.law)
            lines.append(Line(f"{s.program.split(', ')[-1]}, law", computed(k), xs, s.law, tips))
        if s.speedups and s.law:
            lines.append(Line("", computed(k), xs, s.law, ("",) * len(xs)))
    low = min(y for ln in lines for y in ln.ys)
    return line_chart(
        lines, _doubling(1.0, float(most), lambda x: human_count(x)), _doubling(min(low, 1.0), max(ends), _fraction),
        name="simulated", title="Simulated speed-up",
        desc="; ".join(f"{s.program} ends at {three_digits(s.speedups[-1])}" for s in found.simulated if s.speedups),
        x_label="nodes, each with a core and a link of its own",
    )  # fmt: skip


def _tip(p: Point) -> str:
    over = "\nmore processes than cores" if p.oversubscribed else ""
    return (
        f"{p.p} processes: {ratio(p.speedup)} times, efficiency {ratio(p.efficiency)}\n"
        f"a round takes {human_seconds(p.seconds.median)}, half of them {human_seconds(p.seconds.low)} to "
        f"{human_seconds(p.seconds.high)}{over}"
    )


def _sim_tip(s: Simulated, nodes: int, y: float) -> str:
    law = dict(zip(s.nodes, s.law, strict=True)) if s.law else {}
    said = f"\nclosed form {three_digits(law[nodes])}" if nodes in law else ""
    return f"{s.program}, {nodes:,} nodes\n{three_digits(y)} times{said}"


def _p_axis(xs: tuple[float, ...]) -> Axis:
    # A little room on both sides, so that no point stands on the frame.
    room = 0.03 * max(1.0, xs[-1] - xs[0])
    return Axis(xs[0] - room, xs[-1] + room, False, _apart(xs), human_count)


def _apart(xs: tuple[float, ...]) -> tuple[float, ...]:
    """Ticks at the measured numbers, but for those too close to their larger neighbour."""
    kept: list[float] = []
    for x in reversed(xs):
        if not kept or kept[-1] - x > 0.05 * (xs[-1] - xs[0]):
            kept.append(x)
    return tuple(reversed(kept))


def _up_to(top: float) -> Axis:
    ticks = steps(0.0, max(top, 1.0), 4)
    return Axis(0.0, max(top, ticks[-1]), False, ticks, three_digits)


def _doubling(low: float, high: float, text: object) -> Axis:
    """A logarithmic axis with ticks at powers of four (of sixteen where it is long)."""
    exponents = range(-20, 40)
    low, high = min(low, high / 2), high
    inside = [2.0**k for k in exponents if low * 0.999 <= 2.0**k <= high * 1.001]
    ticks = inside if len(inside) <= 6 else [t for t in inside if (t.hex().split("p")[1] and _exponent(t) % 2 == 0)]
    return Axis(low, high, True, tuple(ticks), text)  # type: ignore[arg-type]


def _exponent(t: float) -> int:
    return int(t.hex().split("p")[1])


def _fraction(y: float) -> str:
    return human_count(y) if y >= 1 else f"1/{1 / y:,.0f}"
