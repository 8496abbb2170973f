"""What a tracker is, and what all of them share.

A tracker is a value that the user configures; opening it for a run gives an open tracker, which is told of every commit
and of the end. ``Trackers`` does that for all trackers of a run.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Protocol, runtime_checkable

from foedus.core.errors import BadInput
from foedus.core.records.run import Record

Setting = str | int | float | bool | None

QUALITY = ("loss", "accuracy", "auc", "rmse", "train_loss")
"""The fields of a ``Record`` that say how good the model is, and are worth a curve against bytes."""


@dataclass(frozen=True)
class Mark:
    """How far a tracker has come: the library's name for the run, and the last commit that it was told of.

    It is kept in the run's folder, so that a resumed run goes on in the same place of the library.
    """

    id: str
    round: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class About:
    """What a tracker is told of a run before it starts.

    ``name`` and ``seed`` of the run.   ``program`` is its ``repr``.   ``config`` holds every setting, flat.
    ``history``  the commits already made, where a run is resumed.
    ``mark``     where this tracker stood when the run was stopped; None for a run that it has not seen.
    """

    name: str
    seed: int = 0
    program: str = ""
    config: Mapping[str, Setting] = field(default_factory=dict)
    history: Sequence[Record] = ()
    mark: Mark | None = None


@runtime_checkable
class Tracker(Protocol):
    """A library that draws curves, as the user configures it: a frozen dataclass."""

    def open(self, about: About) -> OpenTracker:
        """Begin a run, or go on with the one that ``about.mark`` names.

        Errors: ``BadInput`` for a library that is not installed or a setting that it does not take.
        """
        ...


class OpenTracker(Protocol):
    """One run in such a library."""

    @property
    def mark(self) -> Mark:
        """Where it was opened: round 0 for a new run. Commits up to there are not given to it again."""
        ...

    def record(self, record: Record) -> None:
        """Take one commit. Whatever it raises turns the tracker off and leaves the run alone."""
        ...

    def close(self, status: str, summary: Mapping[str, Setting]) -> None:
        """The run has ended: ``status`` as in ``Run``, and what it came to."""
        ...


def numbers(record: Record) -> dict[str, float]:
    """Every number of a record by name, its ``metrics`` among them; what is None is left out.

    >>> numbers(Record(round=3, accuracy=0.5, metrics={"consensus": 0.1}))["consensus"]
    0.1
    """
    apart = ("round", "metrics", "suspects", "main")
    named = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in apart}
    return {k: float(v) for k, v in {**named, **record.metrics}.items() if v is not None}


def quality(record: Record) -> dict[str, float]:
    """Those of the numbers that say how good the model is: what to draw against bytes."""
    wanted = (*QUALITY, *record.metrics)
    return {k: v for k, v in numbers(record).items() if k in wanted}


def bytes_sent(record: Record) -> int:
    """Bytes in both directions since the start of the run."""
    return record.bytes_up + record.bytes_down


def settings(**parts: Any) -> dict[str, Setting]:
    """Configured values as one flat dictionary: a dataclass by its class and, with dots, its fields.

    >>> from foedus.jobs import LocalSGD
    >>> flat = settings(seed=0, local=LocalSGD(lr=0.5))
    >>> flat["seed"], flat["local"], flat["local.lr"]
    (0, 'LocalSGD', 0.5)
    """
    flat: dict[str, Setting] = {}
    for name, value in parts.items():
        if is_dataclass(value) and not isinstance(value, type):
            flat[name] = type(value).__name__
            inner = {f.name: getattr(value, f.name) for f in fields(value)}
            flat |= {f"{name}.{k}": v for k, v in settings(**inner).items()}
        elif isinstance(value, Mapping):
            flat |= {f"{name}.{k}": v for k, v in settings(**{str(k): v for k, v in value.items()}).items()}
        else:
            flat[name] = value if value is None or isinstance(value, str | int | float | bool) else repr(value)
    return flat


def table(rows: Mapping[str, Setting]) -> str:
    """Names and values as a Markdown table."""
    cells = (f"| {k} | {str(v).replace('|', chr(92) + '|')} |" for k, v in rows.items())
    return "\n".join(["| | |", "|---|---|", *cells])


def library(module: str, tracker: object, extra: str) -> Any:
    """A third-party module. Errors: ``BadInput`` with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        raise BadInput(
            f"{type(tracker).__name__} needs a library that cannot be imported ({e}): pip install 'foedus[{extra}]'"
        ) from e


@contextmanager
def environment(**defaults: str) -> Iterator[None]:
    """Environment variables for a while, where the user has not set them: some libraries have no other switch."""
    ours = {k: v for k, v in defaults.items() if k not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
