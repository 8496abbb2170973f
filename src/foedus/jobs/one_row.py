"""Models that cannot train on a batch of one row (batch norm), told before a run begins, and what is done about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from foedus.core.errors import BadInput
from foedus.core.types.model import Model
from foedus.core.types.roster import Roster
from foedus.jobs import Gradient, LocalSGD

NAMED = 10
"""So many nodes are named."""

HAS_BATCH_NORM = "the model has batch norm, which cannot be trained on one row"


def fit(program: Any, model: Model, data: Roster) -> tuple[Any, list[str]]:
    """The program with its jobs fitted to the model (``LocalSGD.last_batch``), and what users should know of it.

    Errors: ``BadInput`` with the nodes that would have to train on a single row, unless the program goes on without a
    node that fails.
    """

    def x_1() -> Any:
        return data.example(1)[0]

    if model.trains_on_one_row(x_1):
        return program, []
    fitted = _fitted(program, lambda job: job.fitted(model, x_1))
    pooled = getattr(program, "pooled", False)
    sizes = [sum(data.sizes)] if pooled else data.sizes

    def named(nodes: Sequence[int]) -> str:
        return "the pooled rows" if pooled else _named(nodes, data)

    cannot = sorted({n for job in _jobs(fitted) for n, rows in enumerate(sizes) if job.smallest_batch(rows) == 1})
    if cannot:
        single = [n for n in cannot if sizes[n] == 1]
        if single:
            why, way = f"{named(single)} {'have' if len(single) > 1 else 'has'} no more", ""
        else:
            why, way = f"a batch at {named(cannot)} is no more", ', another batch_size, "join" as last_batch'
        said = f"{HAS_BATCH_NORM}, and {why}"
        if not _goes_on(program):
            raise BadInput(
                f"{said}. Use a network with group norm, larger nodes{way}, or go on without such nodes: "
                '"skip" as failure, the program\'s or that of its until'
            )
        return fitted, [f"{said}: there the job fails"]
    pairs = list(zip(_jobs(program), _jobs(fitted), strict=True))
    joined = [n for n, rows in enumerate(sizes) if any(b.batches(rows) != a.batches(rows) for b, a in pairs if b != a)]
    if not joined:
        return fitted, []
    return fitted, [f"{HAS_BATCH_NORM}: at {named(joined)} the last row of a pass joins the batch before (last_batch)"]


def _fitted(value: Any, fit: Any) -> Any:
    if isinstance(value, LocalSGD):
        return fit(value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    before = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
    after = {name: _fitted(v, fit) for name, v in before.items()}
    changed = {name: v for name, v in after.items() if v is not before[name]}
    return dataclasses.replace(value, **changed) if changed else value


def _jobs(value: Any) -> Iterator[Any]:
    """The training jobs in a program's fields; of one that makes gradients itself, those."""
    if hasattr(value, "smallest_batch"):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = [job for f in dataclasses.fields(value) for job in _jobs(getattr(value, f.name))]
        yield from inside or ([Gradient(value.batch_size)] if hasattr(value, "batch_size") else [])


def _goes_on(program: Any) -> bool:
    said = (getattr(program, "failure", None), getattr(getattr(program, "until", None), "failure", None))
    return any(failure in ("skip", "retry") for failure in said)


def _named(nodes: Sequence[int], data: Roster) -> str:
    names = [str(n) if data.node_names is None else data.node_names[n] for n in nodes[:NAMED]]
    more = f" and {len(nodes) - NAMED} more" if len(nodes) > NAMED else ""
    return f"node{'s' * (len(nodes) > 1)} {', '.join(names)}{more} (of {data.nodes})"
