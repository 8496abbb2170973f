"""The same for programs: JSON with every number, and CSV with a line a measured point."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

from foedus.report.speedup.found import KINDS, Found
from foedus.report.speedup.verdict import verdict

HEAD = (
    "scaling", "exchange", "wire", "p", "rows", "seconds", "seconds_low", "seconds_high", "rounds", "speedup",
    "efficiency", "machine_limit", "predicted_seconds", "deviation", *KINDS, "oversubscribed",
)  # fmt: skip
"""Columns of the CSV. ``compute_s`` and so on are shares of a process's time."""


def as_json(found: Found) -> dict[str, Any]:
    """All of it, with what follows from it: efficiencies, deviations, the verdict."""
    tree = asdict(found)
    for curve, written in zip(found.curves, tree["curves"], strict=True):
        for scaling in ("strong", "weak"):
            for point, w in zip(getattr(curve, scaling), written[scaling], strict=True):
                w |= {"efficiency": point.efficiency, "deviation": point.deviation}
    for straggler, w in zip(found.stragglers, tree["stragglers"], strict=True):
        w["lost"] = straggler.lost
    return {"verdict": verdict(found), **tree}


def as_csv(found: Found) -> str:
    """A line for every number of processes, exchange, wire and scaling."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(HEAD)
    for c in found.curves:
        for scaling, points in (("strong", c.strong), ("weak", c.weak)):
            for p in points:
                kinds = [p.shares.get(kind) for kind in KINDS]
                lines.writerow(
                    [
                        scaling,
                        c.exchange,
                        c.wire,
                        p.p,
                        p.rows,
                        p.seconds.median,
                        p.seconds.low,
                        p.seconds.high,
                        p.seconds.n,
                        p.speedup,
                        p.efficiency,
                        p.limit,
                        p.predicted,
                        p.deviation,
                        *kinds,
                        int(p.oversubscribed),
                    ]
                )  # fmt: skip
    return out.getvalue()
