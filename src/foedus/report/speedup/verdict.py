"""The answer in words: how much faster, what the machine allows, where the rest went."""

from __future__ import annotations

from foedus.report.speedup.found import KINDS, Curve, Found, Point, Simulated
from foedus.report.units import human_count, percent, three_digits

MUCH = 0.05
"""Other work on the machine is worth a word from this share of its processors' time on."""


def main_point(found: Found) -> tuple[Curve, Point]:
    """The curve and the point that the verdict is about.

    It is the fastest exchange at the most processes that have a core each; at the most processes at all where only
    more than there are cores were measured.
    """
    choices = [(c, p) for c in found.curves for p in c.strong]
    fair = [x for x in choices if not x[1].oversubscribed and x[1].p > 1] or choices
    most = max(p.p for _, p in fair)
    return min((x for x in fair if x[1].p == most), key=lambda x: x[1].seconds.median)


def processes(p: int) -> str:
    """A number of processes.

    >>> processes(1), processes(4)
    ('1 process', '4 processes')
    """
    return f"{human_count(p)} process" + ("" if p == 1 else "es")


def verdict(found: Found) -> str:
    """One sentence or two."""
    curve, point = main_point(found)
    if point.p == 1:
        return f"Only one process was measured: {_share(point)}."
    said = f"{processes(point.p)}: {_fast(point)} (efficiency {point.efficiency:.2f})"
    if len(found.curves) > 1:
        said += f" by {curve.exchange} over {curve.wire}"
    if point.oversubscribed:
        said += f", oversubscribed: {processes(point.p)} on {_cores(found)}"
    if point.limit is not None:
        said += f"; what this machine allows is {three_digits(round(point.limit, 2))}"
    return f"{said}. {_share(point)}."


def more(found: Found) -> list[str]:
    """What else is worth a sentence: laws, the model, more processes than cores, the simulator."""
    curve, point = main_point(found)
    said = []
    if curve.amdahl is not None and 0.05 < curve.amdahl < 1:
        end = 1 / (1 - curve.amdahl)
        said.append(
            f"By Amdahl's law {percent(curve.amdahl)} of a round runs in parallel, so no number of processes would "
            f"make it more than {three_digits(round(end, 1))} times as fast."
        )
    if point.deviation is not None and point.p > 1:
        more_or_less = "more" if point.deviation > 0 else "less"
        off = f"says {percent(abs(point.deviation), 0)} {more_or_less} time than was measured"
        said.append(f"The calibrated cost model {off if abs(point.deviation) >= 0.005 else 'says what was measured'}.")
    over = [p for p in curve.strong if p.oversubscribed]
    if over and not point.oversubscribed:
        said.append(f"Beyond {_cores(found)} processes take turns: {processes(over[-1].p)} are {_fast(over[-1])}.")
    further = [_further(s) for s in found.simulated if s.speedups and len(s.nodes) > 1]
    if further:
        most = max(n for s in found.simulated for n in s.nodes)
        said.append(f"Simulated up to {most:,} nodes with a core each: {', '.join(further)}.")
    return said


def troubles(found: Found) -> list[str]:
    """What a reader has to know before believing a number."""
    said = []
    if found.others is not None and found.others >= MUCH:
        said.append(
            f"Other work took {percent(found.others, 0)} of this machine's processors meanwhile: times are of what was "
            "left, and where it came and went, laws and the cost model do not hold. Measure again when it is quiet."
        )
    if not found.complete:
        said.append("The measurement was stopped before its end: what is here was measured by then.")
    return said


def _further(s: Simulated) -> str:
    best = max(range(len(s.nodes)), key=lambda i: s.speedups[i])
    if s.nodes[best] == 1:
        return f"{s.program} never faster than one node"
    where = "still rising" if best == len(s.nodes) - 1 else f"at {s.nodes[best]:,} nodes, which is its best"
    return f"{s.program} {three_digits(s.speedups[best])} times {where}"


def _cores(found: Found) -> str:
    return f"{found.cores} core" + ("" if found.cores == 1 else "s")


def _fast(point: Point) -> str:
    """How fast so many processes are beside one, where that is a gain and where it is none."""
    speed = round(point.speedup, 2)
    if abs(speed - 1) < 0.02:
        return "as fast as one"
    return f"{three_digits(speed)} times as fast as one" if speed > 1 else f"slower than one, {speed:.2f} times as fast"


def _share(point: Point) -> str:
    parts = [f"{percent(x, 0)} {kind}" for kind, x in words(point) if x >= 0.005]
    return "Of a process's time " + ", ".join(parts) if parts else "Where its time went was not measured"


def words(point: Point) -> list[tuple[str, float]]:
    """A process's time by kind, in words, the kinds in their fixed order."""
    return [(word, point.shares[kind]) for kind, word in KINDS.items() if kind in point.shares]
