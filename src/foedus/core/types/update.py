"""What a node answers: an update, or one of four reasons why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from foedus.core.code_line import calling_line
from foedus.core.errors import NoSuchPart, closest

Tensors = Mapping[str, Tensor]
"""The one currency of data: named tensors."""

BUFFERS = "buffers"
"""The part that holds float buffers. It is averaged, and takes no part in norms, distances or server optimisers."""


def part_of(parts: Tensors, name: str, whole: str) -> Tensor:
    """A tensor by its name. Errors: ``NoSuchPart``, which says what ``whole`` has instead."""
    try:
        return parts[name]
    except KeyError:
        raise no_such_part(name, parts, whole) from None


def no_such_part(name: object, parts: Iterable[str], whole: str) -> NoSuchPart:
    """The error for a name that none of the tensors has."""
    have = list(parts)
    meant = closest(name, have) if isinstance(name, str) else None
    hint = "" if meant is None else f"did you mean {meant!r}? "
    there = f"{hint}There is {', '.join(map(repr, have))}" if have else "it is empty"
    return NoSuchPart(f"{calling_line()}: there is no {name!r} in {whole}: {there}")


class Named(dict[str, Tensor]):
    """Named tensors that are given to somebody's code: asked for a name that is not there, they say which are.

    ``whole``  what they are, in words.
    """

    __slots__ = ("whole",)

    def __init__(self, parts: Tensors, whole: str) -> None:
        super().__init__(parts)
        self.whole = whole

    def __missing__(self, name: str) -> Tensor:
        raise no_such_part(name, self, self.whole)

    def __reduce__(self) -> Any:
        return (Named, (dict(self), self.whole))


def finite(parts: Tensors) -> bool:
    """Whether every number is finite."""
    for v in parts.values():
        # NaN and infinity survive a sum; the search for them runs only if the sum is suspect (it may just overflow).
        if v.is_floating_point() and not math.isfinite(v.sum().item()) and not bool(torch.isfinite(v).all()):
            return False
    return True


@dataclass(frozen=True)
class Update:
    """What one node computed.

    ``parts``   named tensors, such as ``delta`` (P,) and ``buffers`` (B,).
    ``weight``  how much it counts in a mean, usually the rows it was computed on.
    ``summed``  the parts are already multiplied by the weight (a gradient summed over rows), so that a mean
                divides once. Mean-then-reweight is not exact.
    ``staleness``  versions published since the node was given its job (0 in synchronous programs).
    ``sums``    of a measurement: what adds up over rows, see ``Statistics``. It goes to the coordinator only where that
                measures (``Plan.measures``); answers to programs lose it on their way.
    """

    parts: Tensors
    weight: float
    metrics: dict[str, float] = field(default_factory=dict)
    node: int = -1
    staleness: int = 0
    summed: bool = False
    sums: Mapping[str, Any] = field(default_factory=dict)

    def value(self) -> Tensors:
        """The parts per unit of weight: what this node alone would have answered."""
        if not self.summed:
            return self.parts
        return {k: v / self.weight for k, v in self.parts.items()}

    def with_parts(self, parts: Tensors) -> Update:
        """The same update with other tensors."""
        return replace(self, parts=parts)

    def __getitem__(self, part: str) -> Tensor:
        return part_of(self.parts, part, "this update")


@dataclass(frozen=True)
class Late:
    """No answer when the round was closed. What the node had done by then is in the ledger."""

    node: int
    reason: str = "late"

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Refused:
    """A node's own word that it does not do the job: a normal answer, and the round goes on without it.

    ``code`` is short and fixed, for programs and tables (``"not allowed"``); ``text`` is for people. See ``Policy``.
    """

    node: int
    code: str
    text: str = ""

    @property
    def reason(self) -> str:
        """Code and text as the end of a sentence."""
        return f"refused ({self.code})" + (f": {self.text}" if self.text else "")

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Failed:
    """A node tried and could not: its job raised, or (``nonfinite``) its update, loss or weight is NaN or infinite, or
    (``invalid``) what it answered is nothing that its job can answer: its shape or its weight.

    ``log`` is its traceback.
    """

    node: int
    reason: str
    log: str = ""
    nonfinite: bool = False
    invalid: bool = False

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Lost:
    """The node itself was gone before it answered: it went off, dropped out, or its process or machine ended.

    ``for_good``: it will not be back in this run.
    """

    node: int
    reason: str
    for_good: bool = False

    def __str__(self) -> str:
        return self.reason


Missing = Late | Refused | Failed | Lost
"""Why there is no update of a node: four different things. All have ``node`` and ``reason``."""

Answer = Update | Missing
