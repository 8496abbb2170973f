"""Typed: what a file of a run's folder says, as the types that it must have; or which field of it has another."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from typing import Any, TypeVar

import msgspec

from foedus.core.records.ledger import Costs
from foedus.core.records.run import Record

T = TypeVar("T")

_AT = re.compile(r"^(?P<what>.*) - at `(?P<key>key` in `)?\$(?P<path>.*)`$", re.DOTALL)


def as_type(kind: type[T], found: Any) -> T:
    """Plain values, such as JSON has, as a dataclass or struct. Errors: ``ValueError`` that names the field."""
    try:
        return msgspec.convert(found, kind, str_keys=True)
    except msgspec.ValidationError as e:
        at = _AT.match(str(e))
        if at is None:
            raise ValueError(str(e)) from None
        place = at["path"].lstrip(".").replace("[...]", "") or "all of it"
        raise ValueError(f"field {place}: {at['what']}{' as a key' if at['key'] else ''}") from None


def as_record(found: Any) -> Record:
    """A record from its line. Errors: ``ValueError`` that names the field."""
    if isinstance(found, dict) and isinstance(found.get("metrics"), dict):  # JSON has no NaN
        found = {**found, "metrics": {k: math.nan if v is None else v for k, v in found["metrics"].items()}}
    if isinstance(found, dict) and isinstance(found.get("suspects"), dict):
        told = found["suspects"]
        far = {k: [v[0], math.inf] if isinstance(v, list) and v[1:] == [None] else v for k, v in told.items()}
        found = {**found, "suspects": far}
    _only(found, Record)
    return as_type(Record, found)


def as_costs(found: Any) -> Costs:
    """Costs from their line in the ledger. Errors: ``ValueError`` that names the field."""
    found = {k: v for k, v in found.items() if k != "round"} if isinstance(found, dict) else found
    _only(found, Costs)
    return as_type(Costs, found)


def _only(found: Any, kind: type[Any]) -> None:
    """Errors: ``ValueError`` for what is no object, or has a field that is not one of the type's."""
    if not isinstance(found, dict):
        raise ValueError(f"expected an object, got {type(found).__name__}")
    known = {f.name for f in fields(kind)}
    for name in found:
        if name not in known:
            raise ValueError(f"field {name!r} is not one of those known")
