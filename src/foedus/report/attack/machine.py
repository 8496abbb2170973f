"""The same for programs: plain numbers and texts, ready for JSON."""

from __future__ import annotations

from dataclasses import asdict
from statistics import fmean
from typing import Any

from foedus.report.attack.found import CLEAN, Found
from foedus.report.attack.verdict import verdict
from foedus.report.seeds import sd


def as_json(found: Found) -> dict[str, Any]:
    """All of it, with what follows from it. Keys are stable; None is unknown."""
    p = found.plan
    return {
        "verdict": verdict(found),
        "metric": None if found.metric is None else found.metric.field,
        "higher_is_better": None if found.metric is None else found.metric.higher,
        "clean": found.clean,
        "plan": asdict(p),
        "holding": list(found.holding),
        "rules": [_rule(found, r) for r in p.rules],
    }


def _rule(found: Found, rule: str) -> dict[str, Any]:
    worst, clean = found.lowest(rule), found.cell(rule, CLEAN)
    seconds, nbytes = found.price(rule)
    return {
        "rule": rule,
        "refused": found.refused(rule) or None,
        "worst": worst,
        "worst_value": None if worst is None else found.cell(rule, worst).value,
        "holds_all": rule in found.holding,
        "seconds": None if clean.costs is None else clean.costs[0],
        "seconds_times": seconds,
        "bytes": None if clean.costs is None else clean.costs[1],
        "bytes_times": nbytes,
        "attacks": {a: _cell(found, rule, a) for a in found.columns},
    }


def _cell(found: Found, rule: str, attack: str) -> dict[str, Any]:
    c = found.cell(rule, attack)
    return {
        "value": c.value,
        "sd": sd(c.values) if len(c.values) > 1 else None,
        "values": list(c.values),
        "success": fmean(c.planted) if c.planted else None,
        "successes": list(c.planted),
        "holds": found.holds(rule, attack),
        "diverged": c.diverged,
        "failed": c.failed,
        "reasons": list(c.reasons),
    }
