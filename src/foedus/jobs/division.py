"""Which tensors of a model are shared and which are a node's own: what tells personal algorithms apart.

Legend: D numbers of the flat vector, P of them parameters; S of them are shared, O are a node's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.model import Layout
from foedus.core.types.update import BUFFERS, Tensors

Spans = tuple[tuple[int, int], ...]


def check_patterns(patterns: object, what: str) -> None:
    """Errors: ``BadInput`` unless these are names or patterns in a tuple or a list."""
    if isinstance(patterns, str) or not isinstance(patterns, Sequence) or not all(isinstance(p, str) for p in patterns):
        raise BadInput(f'{what} must be a tuple of names or patterns, such as ("head.*",); got {patterns!r}')


def matching(layout: Layout, patterns: Iterable[str]) -> tuple[str, ...]:
    """Names of the tensors that match any of these patterns, in the layout's order.

    Patterns are those of a shell: ``*`` stands for anything. Errors: ``BadInput`` for one that matches nothing.
    """
    names = [s.name for s in layout.slots]
    found: set[str] = set()
    for pattern in patterns:
        hits = [n for n in names if n == pattern or fnmatchcase(n, pattern)]
        if not hits:
            # The name of a layer is what people write; the tensors in it are what is meant.
            inside = [n for n in names if n.startswith(pattern + ".")]
            close = [pattern + ".*"] if inside else difflib.get_close_matches(pattern, names, n=1)
            meant = f" (did you mean {close[0]!r}?)" if close else ""
            raise BadInput(f"no tensor of the model matches {pattern!r}{meant}; there are: {', '.join(names)}")
        found.update(hits)
    return tuple(n for n in names if n in found)


@dataclass(frozen=True)
class Named:
    """The tensors whose names match any of these patterns."""

    patterns: tuple[str, ...] = ()

    def names(self, layout: Layout) -> tuple[str, ...]:
        return matching(layout, self.patterns)


@dataclass(frozen=True)
class LastLayer:
    """The layer of the last trainable parameter: its weights, its bias and what else is in it."""

    def names(self, layout: Layout) -> tuple[str, ...]:
        last = [s.name for s in layout.slots if s.start < layout.parameters][-1]
        return _in_layer(layout, {_layer(last)})


@dataclass(frozen=True)
class BatchNorms:
    """Everything in the batch norms, which are told by the running mean that they keep: no network knows its types."""

    def names(self, layout: Layout) -> tuple[str, ...]:
        statistics = [s.name for s in layout.slots if s.start >= layout.parameters]
        return _in_layer(layout, {_layer(n) for n in statistics if n.rpartition(".")[2] == "running_mean"})


Own = Named | LastLayer | BatchNorms
"""Says which tensors of a model are a node's own, as data, so that it travels in a job."""


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _in_layer(layout: Layout, layers: set[str]) -> tuple[str, ...]:
    return tuple(s.name for s in layout.slots if _layer(s.name) in layers)


@dataclass(frozen=True)
class Division:
    """The flat vector, divided into what is shared and what is a node's own."""

    shared: Spans
    own: Spans
    parameters: int
    """How many of the shared numbers are parameters; they come before the buffers."""

    @staticmethod
    def of(layout: Layout, own: Own) -> Division:
        """How a layout is divided."""
        names = set(own.names(layout))
        shared = [s for s in layout.slots if s.name not in names]
        return Division(
            _joined([(s.start, s.stop) for s in shared]),
            _joined([(s.start, s.stop) for s in layout.slots if s.name in names]),
            sum(s.stop - s.start for s in shared if s.start < layout.parameters),
        )

    @property
    def size(self) -> int:
        """S, how many numbers are shared."""
        return sum(b - a for a, b in self.shared)

    def shapes(self, part: str) -> dict[str, tuple[int, ...]]:
        """Shapes of an answer about the shared numbers alone; see ``Layout.answer``."""
        shapes: dict[str, tuple[int, ...]] = {part: (self.parameters,)}
        if self.size > self.parameters:
            shapes[BUFFERS] = (self.size - self.parameters,)
        return shapes

    def answer(self, shared_S: Tensor, part: str) -> Tensors:
        """Shared numbers as the parts of an answer."""
        parts = {part: shared_S[: self.parameters]}
        if self.size > self.parameters:
            parts[BUFFERS] = shared_S[self.parameters :]
        return parts


def take(vector_D: Tensor, spans: Spans) -> Tensor:
    """The numbers in these spans, as one vector with memory of its own."""
    return torch.cat([vector_D[a:b] for a, b in spans]) if spans else vector_D[:0].clone()


def put(vector_D: Tensor, spans: Spans, values: Tensor) -> Tensor:
    """A copy of the vector with these numbers in these spans."""
    out, at = vector_D.clone(), 0
    for a, b in spans:
        out[a:b] = values[at : at + b - a]
        at += b - a
    return out


def _joined(spans: list[tuple[int, int]]) -> Spans:
    """The same numbers in as few spans as there can be."""
    out: list[tuple[int, int]] = []
    for a, b in spans:
        if out and out[-1][1] == a:
            out[-1] = (out[-1][0], b)
        elif a < b:
            out.append((a, b))
    return tuple(out)
