"""The result of a group of tasks on its way between processes: plain values, and a tree of tensors."""

from __future__ import annotations

from typing import Any

from foedus.core.coordination.executor import Outcome, Result
from foedus.core.records.ledger import Costs
from foedus.core.types.trees import owned
from foedus.core.types.update import Failed, Lost, Refused, Update

MISSING: dict[str, type[Failed] | type[Refused] | type[Lost]] = {c.__name__: c for c in (Failed, Refused, Lost)}

Packed = tuple[list[Any], dict[str, Any]]
"""Plain values, and tensors: ``acc``, ``states``, ``updates`` and ``sums`` (by the outcome's place)."""


def pack(result: Result) -> Packed:
    """A result as it travels."""
    updates = {i: o.update for i, o in enumerate(result.outcomes) if o.update is not None}
    tensors = {
        "acc": result.acc,
        "states": {i: o.state for i, o in enumerate(result.outcomes) if o.state},
        "updates": {i: dict(u.parts) for i, u in updates.items()},
        "sums": {i: dict(u.sums) for i, u in updates.items() if u.sums},
    }
    return [_plain(o) for o in result.outcomes], tensors


def unpack(plain: list[Any], tensors: dict[str, Any]) -> Result:
    """The result that ``pack`` took apart."""
    return Result(tensors["acc"], [_outcome(i, o, tensors) for i, o in enumerate(plain)])


def _plain(o: Outcome) -> Any:
    missing, update = o.missing, o.update
    return (
        (o.node, o.seconds, o.weight, o.metrics),
        None if missing is None else (type(missing).__name__, *vars(missing).values()),
        None if update is None else (update.weight, update.metrics, update.node, update.staleness, update.summed),
        None if o.costs is None else o.costs.as_dict(),
    )


def _outcome(i: int, plain: Any, tensors: dict[str, Any]) -> Outcome:
    (node, seconds, weight, metrics), missing, update, costs = plain
    out = Outcome(node, seconds, weight, metrics)
    if i in tensors["states"]:
        out.state = owned(tensors["states"][i])  # a node's state stays for long
    if missing is not None:
        kind, *fields = missing
        out.missing = MISSING[kind](*fields)
    if update is not None:
        weight, found, who, staleness, summed = update
        sums = owned(tensors["sums"].get(i, {}))
        out.update = Update(tensors["updates"][i], weight, found, who, staleness, summed, sums)
    if costs is not None:
        out.costs = Costs(**costs)
    return out
