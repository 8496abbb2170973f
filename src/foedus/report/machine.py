"""The same facts for programs: dicts of plain numbers and strings, ready for JSON. Keys are stable; None is unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from statistics import fmean
from typing import TYPE_CHECKING, Any

from foedus.core.coordination.spread import worst_tenth
from foedus.core.records.run import Record, Run
from foedus.report.by_node import Node, Nodes, by_node, node_values
from foedus.report.by_node import sentence as of_nodes
from foedus.report.ends import LEVEL
from foedus.report.networks import fit, sentence
from foedus.report.origin import origin_of
from foedus.report.prepared import preparation
from foedus.report.seeds import sd
from foedus.report.split import QUANTILES
from foedus.report.summary import Comparison, Metric, Runs, Summary, compare, measures
from foedus.report.suspects import as_json as suspects
from foedus.report.uncertainty import interval
from foedus.report.units import finite
from foedus.report.verdict import time_shares

if TYPE_CHECKING:
    from foedus.core.types.data import FederatedDataset


_COSTS = (
    "epochs",
    "bytes_up",
    "bytes_down",
    "messages",
    "compute_s",
    "wire_s",
    "waiting_s",
    "serial_s",
    "virtual_s",
    "wall_s",
    "late",
    "refused",
    "failed",
    "lost",
)


def as_json(what: Runs | FederatedDataset, target: float | None = None) -> dict[str, Any]:
    """What ``show`` says of a run, ``comparison`` of several, ``holdings_text`` of a data set, for ``json.dumps``."""
    if isinstance(what, Run):
        return _run(what)
    if isinstance(what, Mapping | Sequence):
        return _comparison(compare(what, target))
    return _data(what)


def _run(run: Run) -> dict[str, Any]:
    c = compare(run)
    [s] = c.programs
    return {
        "program": run.name,
        "settings": repr(run.program),
        "runtime": repr(run.runtime),
        "status": run.status,
        "seed": run.seed,
        "nodes": run.nodes,
        "rounds": s.last.round,
        "evaluated_on": _measured(run),
        "objective": run.objective,
        "baseline": run.usual,
        "quality": _quality(s, c.metric),
        "judged": _judged(run),
        "costs": _costs(s.last),
        "time_shares": _shares(s.last),
        "node_metrics": _nodes(run),
        "suspects": suspects(run),
        "each_node": _by_node(c),
        "sha256": run.sha256,
        "out": None if run.out is None else str(run.out),
        "origin": origin_of(run),
        "preparation": _agreed(run),
    }


def _measured(run: Run) -> dict[str, str]:
    on = run.evaluated_on
    return {"rows": on.rows, "where": on.where, "models": on.models}


def _agreed(what: Run | FederatedDataset) -> dict[str, Any] | None:
    agreed = preparation(what)
    return None if agreed is None else {"lines": list(map(str, agreed.lines)), "bytes": int(agreed.bytes)}


def _quality(s: Summary, metric: Metric | None) -> dict[str, Any] | None:
    if metric is None or not s.values:
        return None
    first, last = s.evaluated[0], s.evaluated[-1]
    return {
        "metric": metric.field,
        "higher_is_better": metric.higher,
        "first": {"round": first.round, "value": s.values[0]},
        "last": {"round": last.round, "value": s.values[-1]},
    }


def _judged(run: Run) -> dict[str, Any] | None:
    """The point at which the run is judged: how it was chosen, and every metric there, with its interval."""
    j = run.judged
    if j is None:
        return None
    values = {
        metric: {
            "value": value,
            "interval": _told([run], metric),
            "in_the_last_round": finite(j.last.values.get(metric)),
        }
        for metric, value in j.here.values.items()
    }
    return {
        "rounds": list(j.rounds),
        "how": j.how,
        "by": j.by,
        "rows": j.rows,
        "values": values,
    }


def _told(runs: Sequence[Run], metric: str) -> dict[str, Any] | None:
    """The mean over runs at their judged points with its interval; None where nothing tells its spread."""
    found = interval(runs, metric)
    if found is None:
        return None
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "level": LEVEL,
        "covers": found.covers,
        "too_few_rows": bool(found.few),
    }


def _nodes(run: Run) -> dict[str, dict[str, Any]] | None:
    found = {}
    for metric in measures([run]):
        values = [v for _, v in node_values(run, metric)]
        if values:
            found[metric.field] = {
                "nodes": len(values),
                "mean": fmean(values),
                "worst_tenth": worst_tenth(values, metric.higher),
                "lowest": min(values),
                "highest": max(values),
            }
    return found or None


def _comparison(c: Comparison) -> dict[str, Any]:
    return {
        "metric": None if c.metric is None else c.metric.field,
        "higher_is_better": None if c.metric is None else c.metric.higher,
        "target": c.target,
        "networks": _networks(c),
        "each_node": _by_node(c),
        "groups": [_group(c, s) for s in (c.everywhere if c.networks else c.ranked)],
    }


def _by_node(c: Comparison) -> dict[str, Any] | None:
    """Every node by its name; None where nothing was evaluated at the nodes."""
    found = by_node(c)
    if found is None:
        return None
    return {
        "metric": found.metric.field,
        "groups": {g: s.label for g, s in found.groups.items()},
        "everybody": found.all,
        "nodes": [_node(found, n) for n in found.nodes],
        "sentence": of_nodes(found),
    }


def _node(found: Nodes, n: Node) -> dict[str, Any]:
    d = n.gain
    return {
        "name": n.name,
        "rows": n.rows,
        "too_few": n.few,
        "own": n.own,
        "everybody": n.everybody,
        "gain": None
        if d is None
        else {"value": d.value, "low": d.low, "high": d.high, "claimed": found.told(n) != 0, "covers": d.covers},
    }


def _networks(c: Comparison) -> dict[str, Any] | None:
    """Which program fits which network; None where settings do not differ in it."""
    if not c.networks:
        return None
    f = fit(c)
    return {
        "names": list(c.networks),
        "shown": c.network,
        "first": None if f is None else {n: [s.subject for s in f.first[n]] for n in f.networks},
        "sentence": None if f is None else sentence(f),
    }


def _group(c: Comparison, s: Summary) -> dict[str, Any]:
    reached = s.reached
    return {
        "label": s.label,
        "subject": s.subject,
        "network": s.network,
        "program": s.run.name,
        "role": s.role,
        "seeds": [run.seed for run in s.runs],
        "statuses": [run.status for run in s.runs],
        "evaluated_on": _measured(s.run),
        "comparable": not c.odd(s),
        "objective": s.run.objective,
        "baseline": s.run.usual,
        "rounds": finite(s.last.round),
        "judged": None if c.metric is None else _told(s.runs, c.metric.field),
        "final": _spread(s.finals),
        "costs": _costs(s.last),
        "time_shares": _shares(s.last),
        "suspects": [suspects(run) for run in s.runs],
        "to_target": None
        if reached is None
        else {"seeds": len(s.reaching), "rounds": finite(reached.round)} | _costs(reached),
    }


def _spread(values: tuple[float, ...]) -> dict[str, Any] | None:
    if not values:
        return None
    deviation = sd(values) if len(values) > 1 else None
    return {"mean": fmean(values), "sd": deviation, "n": len(values), "values": list(values)}


def _costs(r: Record) -> dict[str, float | None]:
    names = [f.name for f in fields(Record) if f.name in _COSTS]
    return {name: None if finite(getattr(r, name)) is None else getattr(r, name) for name in names}


def _shares(r: Record) -> dict[str, float] | None:
    return time_shares(r)


def _data(data: FederatedDataset) -> dict[str, Any]:
    from foedus.report.measured import of_data

    split = of_data(data)
    return {
        "name": data.name,
        "partition": data.partition,
        "nodes": len(split.sizes),
        "rows": sum(split.sizes),
        "test_rows": None if data.test_y is None else len(data.test_y),
        "sizes": list(split.sizes),
        "node_names": None if split.names is None else list(split.names),
        "holdout_sizes": None if split.holdout is None else list(split.holdout),
        "classes": list(split.classes) or None,
        "label_counts": [list(row) for row in split.counts] if split.counts else None,
        "total_variation": split.distances() or None,
        "mean_total_variation": fmean(split.distances()) if split.counts else None,
        "target_quantiles": None
        if split.targets is None
        else {"levels": list(QUANTILES), "nodes": [list(q) for q in split.targets]},
        "target_variance_between": split.between,
        "preparation": _agreed(data),
    }
