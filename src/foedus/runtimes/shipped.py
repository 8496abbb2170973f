"""The types of ours that may travel in a plan: what the packages of jobs, transforms, aggregators ... export.

A program's own types are not among them, for runtimes know no program: whoever knows it adds them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from foedus import aggregators, jobs, network, optimizers, sampling, topologies, transforms
from foedus.core.errors import BadInput
from foedus.data.tables import jobs as tables
from foedus.plain.names import written


@functools.cache
def shipped() -> Mapping[str, Any]:
    """Our types by the names under which they travel; see ``foedus.plain.codec``."""
    found: dict[str, Any] = {}
    for package in (aggregators, jobs, network, optimizers, sampling, topologies, transforms):
        prefix = package.__name__.rpartition(".")[2]
        for name in package.__all__:
            target = getattr(package, name)
            if isinstance(target, type) and dataclasses.is_dataclass(target):
                found[f"{prefix}.{written(target)}"] = target
    for target in tables.TRAVELS:
        found[f"tables.{written(target)}"] = target
    return MappingProxyType(found)


def with_types(own: Iterable[type]) -> Mapping[str, Any]:
    """Our types and these, by their names. Errors: ``BadInput`` for two of one name."""
    found = dict(shipped())
    for target in own:
        name = written(target)
        if found.setdefault(name, target) is not target:
            raise BadInput(f"two types are called {name}: {found[name]!r} and {target!r}; rename one of them")
    return MappingProxyType(found)
