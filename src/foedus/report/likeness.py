"""Whether what stands in one column belongs there: what quality was measured on, and what programs minimise."""

from __future__ import annotations

from collections.abc import Sequence

from foedus.report.summary import Comparison, Summary
from foedus.report.verdict import join

MARK = "*"
"""Stands at a value that was not measured as the others were."""

DIVERGED = "\N{DAGGER}"
"""Stands at a value that is what a diverged run was left with."""

_MEAN = {
    "rows": "the mean loss over all rows (nodes count by their rows)",
    "nodes": "the mean of the nodes' losses (nodes count alike)",
}


def mark(c: Comparison, s: Summary) -> str:
    """The sign at a setting's quality; empty where it is what the column says."""
    if s.final is None:
        return ""
    return (MARK if c.odd(s) else "") + (DIVERGED if s.diverged else "")


def called(c: Comparison, s: Summary) -> str:
    """A setting's label where drawings name it, with its sign."""
    return f"{s.label} {mark(c, s)}".rstrip()


def said(c: Comparison) -> list[str]:
    """On what quality was measured, and where not; what the programs minimise, and which do not."""
    return [*_measured(c), *_unmeasured(c), *_models(c), *_objectives(c)]


def _measured(c: Comparison) -> list[str]:
    metric = c.metric
    settings = [s for s in c.programs if s.final is not None]
    if metric is None or not settings or metric.field == "train_loss":
        return []
    odd = [s for s in settings if c.odd(s)]
    alike = [s for s in settings if not c.odd(s)]
    found = []
    if alike:
        ways: dict[str, list[str]] = {}
        # A model that all share is the one that each node has.
        at_nodes = next((s.evaluated_on[0] for s in alike if s.evaluated_on[0].models == "own"), None)
        for s in alike:
            on = s.evaluated_on[0] if at_nodes is None or s.evaluated_on[0].where != "nodes" else at_nodes
            ways.setdefault(on.said(metric.field), []).append(s.label)
        each = [way if len(ways) == 1 else f"{way} ({join(who)})" for way, who in ways.items()]
        others = " of all others" if odd else ""
        found.append(f"{metric.title}{others} is that on {'; '.join(each)}.")
    whys: dict[str, list[str]] = {}
    for s in odd:
        whys.setdefault("; for other seeds on ".join(e.said(metric.field) for e in s.evaluated_on), []).append(s.label)
    for why, who in whys.items():
        found.append(
            f"{MARK} Not to be compared: {metric.label} of {join(who)} is that on {why}. "
            "No sentence and no target here takes it in."
        )
    if any(s.diverged for s in settings):
        found.append(f"{DIVERGED} It diverged, and this is what was left; no sentence here takes it in.")
    return found


def _unmeasured(c: Comparison) -> list[str]:
    """Who was not measured by what all are compared by."""
    found = [s.label for s in c.programs if s.final is None and any(r.loss is not None for r in s.run.history)]
    if c.metric is None or not found:
        return []
    return [f"{join(found)} {'was' if len(found) == 1 else 'were'} not measured by {c.metric.label}."]


def _models(c: Comparison) -> list[str]:
    """That not all trained the same model: what differs then may be the model and not the program."""
    sizes: dict[int, list[str]] = {}
    for s in c.programs:
        for n in dict.fromkeys(len(run.vector) for run in s.runs):
            sizes.setdefault(n, []).append(s.label)
    if len(sizes) < 2:
        return []
    parts = [f"{join(who)} {n:,} numbers" for n, who in sorted(sizes.items())]
    return [f"They did not train the same model: {'; '.join(parts)}."]


def _objectives(c: Comparison) -> list[str]:
    count: dict[str, list[str]] = {}
    for s in c.programs:
        for objective in dict.fromkeys(run.objective for run in s.runs):
            if objective is not None:
                count.setdefault(objective, []).append(s.label)
    if sum(map(len, count.values())) < 2:
        return []
    if len(count) == 1:
        [objective] = count
        return [f"All that train together minimise {_MEAN.get(objective, objective)}."]
    parts = [f"{join(who)} {_MEAN.get(objective, objective)}" for objective, who in count.items()]
    return [f"They do not minimise the same: {'; '.join(parts)}."]


def marks(c: Comparison, settings: Sequence[Summary]) -> list[str]:
    """The signs of several settings in a column: blanks where others have one, so that digits stay below each other."""
    found = [mark(c, s) for s in settings]
    width = max(map(len, found), default=0)
    return [f" {m:<{width}}" if width else "" for m in found]
