"""Transforms: what happens to an update on its way, and what that costs in bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NoReturn, Protocol, runtime_checkable

import torch

from foedus.core.errors import BadInput
from foedus.core.job import NodeState
from foedus.core.keys import Key
from foedus.core.model import Layout
from foedus.core.update import BUFFERS, Tensors, Update

Shape = tuple[tuple[int, ...], torch.dtype]
Shapes = Mapping[str, Shape]
"""Name, shape and dtype of every tensor of a message."""


class Sends(IntEnum):
    """What the tensors of a message are, in the order of how little a later transform can do with them."""

    VECTOR = 0
    """All numbers of the update, each in its place."""
    SAMPLE = 1
    """Some of its numbers, at places that change but say nothing about the data."""
    PLACES = 2
    """Some of its numbers, and their places, which depend on the data."""
    CODE = 3
    """Bits or factors: no numbers of the update any more."""


@runtime_checkable
class Transform(Protocol):
    """A frozen dataclass between a node's job and the fold.

    At the node ``encode`` turns the update into the tensors that travel; wherever the fold is, ``decode`` turns them
    back into tensors that can be added; ``finish`` runs once on the aggregate. Transforms never touch the part
    ``buffers``. A subclass of ``Plain`` overrides only what it needs.

    What others have to know before they stand before, after or around it: ``bounds``, the norm of what it sends is at
    most a bound; ``noise``, it adds noise that is meant to hide the data; ``lengthens``, it may make an update longer;
    ``overshoots``, what it drops may be longer than what it was given, time and again; ``remembers``, it remembers
    something of every coordinate from one update to the next; ``sends``, what its message is.
    """

    @property
    def bounds(self) -> bool: ...
    @property
    def noise(self) -> bool: ...
    @property
    def lengthens(self) -> bool: ...
    @property
    def overshoots(self) -> bool: ...
    @property
    def remembers(self) -> bool: ...
    @property
    def sends(self) -> Sends: ...
    @property
    def steps(self) -> tuple[Transform, ...]:
        """The transforms that it is made of, in their order: itself, if it is no chain."""
        ...

    def fit(self, layout: Layout) -> Transform:
        """This transform for a model with this layout, for those that must know which numbers are a matrix."""
        ...

    def wire(self, shapes: Shapes) -> Shapes:
        """What travels when an update of these shapes is encoded, known before it is: its bytes are the cost."""
        ...

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]: ...

    def decode(self, u: Update, shapes: Shapes) -> Update:
        """The inverse of ``encode`` as far as there is one; ``shapes`` are those of the update that was encoded."""
        ...

    def receive(self, u: Update, shapes: Shapes, memory: NodeState) -> tuple[Update, NodeState]:
        """``decode``, with what the coordinator remembers of this node; like the node's own state, what it remembers
        next takes effect only if the answer is accepted.
        """
        ...

    def init(self, shapes: Shapes) -> Any:
        """State of the coordinator's half, in the program's checkpoint."""
        ...

    def finish(self, total: Tensors, state: Any, key: Key) -> tuple[Tensors, Any]: ...


class Plain:
    """A transform that changes nothing; the neutral element, and the base of the others."""

    @property
    def bounds(self) -> bool:
        return False

    @property
    def noise(self) -> bool:
        return False

    @property
    def lengthens(self) -> bool:
        return False

    @property
    def overshoots(self) -> bool:
        return False

    @property
    def remembers(self) -> bool:
        return False

    @property
    def sends(self) -> Sends:
        return Sends.VECTOR

    @property
    def steps(self) -> tuple[Transform, ...]:
        return (self,)

    def fit(self, layout: Layout) -> Transform:
        return self

    def __repr__(self) -> str:
        # No address in it: what transforms remember is kept by their text, and a resumed run is another process.
        return f"{type(self).__name__}()"

    def wire(self, shapes: Shapes) -> Shapes:
        return shapes

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        return u, state

    def decode(self, u: Update, shapes: Shapes) -> Update:
        return u

    def receive(self, u: Update, shapes: Shapes, memory: NodeState) -> tuple[Update, NodeState]:
        return self.decode(u, shapes), memory

    def init(self, shapes: Shapes) -> Any:
        return None

    def finish(self, total: Tensors, state: Any, key: Key) -> tuple[Tensors, Any]:
        return total, state


def nbytes(shapes: Shapes) -> int:
    """Bytes of a message: its tensors as raw numbers. Names and framing are not counted."""
    total = 0
    for shape, dtype in shapes.values():
        total += dtype.itemsize * math.prod(shape)
    return total


def shapes_of(tensors: Tensors) -> Shapes:
    """Shapes of tensors that exist."""
    return {k: (tuple(v.shape), v.dtype) for k, v in tensors.items()}


def wire_chain(transforms: Sequence[Transform], shapes: Shapes) -> list[Shapes]:
    """Shapes before the first transform, between them, and after the last."""
    chain = [shapes]
    for t in transforms:
        chain.append(t.wire(chain[-1]))
    return chain


def encode_all(
    transforms: Sequence[Transform], u: Update, states: Sequence[NodeState], key: Key
) -> tuple[Update, list[NodeState]]:
    """Encode through every transform in order. ``states`` has one node state a transform."""
    after: list[NodeState] = []
    for i, (t, s) in enumerate(zip(transforms, states, strict=True)):
        u, s = t.encode(u, s, key.child(i))
        after.append(s)
    return u, after


def decode_all(
    transforms: Sequence[Transform], u: Update, chain: Sequence[Shapes], memories: Sequence[NodeState]
) -> tuple[Update, list[NodeState]]:
    """Undo ``encode_all``: the last transform is decoded first. ``memories``: the coordinator's, one a transform."""
    after = list(memories)
    for i in reversed(range(len(transforms))):
        u, after[i] = transforms[i].receive(u, chain[i], memories[i])
    return u, after


def holds_numbers(name: str, dtype: torch.dtype) -> bool:
    """Whether a tensor of a message holds numbers of the update: not ``buffers``, no places, no bits."""
    return name != BUFFERS and dtype.is_floating_point


def prepare(transforms: Sequence[Transform], layout: Layout) -> tuple[Transform, ...]:
    """The transforms of a call, for a model with this layout. Errors: those of ``check_order``."""
    check_order(transforms)
    return tuple(t.fit(layout) for t in transforms)


def check_order(transforms: Sequence[Transform]) -> None:
    """Errors: ``BadInput`` for an order in which one transform surely undoes what another promises."""
    bound: Transform | None = None
    longer: Transform | None = None  # may have broken the bound since
    furthest: Transform | None = None  # whose message is the least like the update so far
    for t in transforms:
        if isinstance(t, type) or not isinstance(t, Transform):
            raise BadInput(f"{t!r} is no transform: use an object such as Clip(1.0); your own class inherits Plain")
    steps = [step for t in transforms for step in t.steps]
    for t in steps:
        if furthest is not None:
            if t.noise and furthest.sends > Sends.SAMPLE:
                _refuse(steps, furthest, t, "what it sends tells of the data where noise does not reach")
            if t.bounds and furthest.sends > Sends.PLACES:
                _refuse(steps, furthest, t, "the norm of what it sends is not that of the update")
            if t.remembers and furthest.sends > Sends.VECTOR:
                _refuse(steps, furthest, t, "a number that it sends belongs to another coordinate every time")
        if t.noise and longer is not None:
            _refuse(steps, longer, t, f"it may make an update longer than {bound!r} allows, which voids the noise")
        if t.noise:
            bound = longer = None  # whatever comes after the noise can no longer harm it
        elif t.bounds:
            bound, longer = t, None
        elif bound is not None and longer is None and t.lengthens:
            longer = t
        if furthest is None or t.sends > furthest.sends:
            furthest = t


def _refuse(steps: Sequence[Transform], first: Transform, then: Transform, why: str) -> NoReturn:
    works = sorted(steps, key=lambda t: (not (t.bounds or t.noise), not t.remembers, t.sends))
    raise BadInput(
        f"{first!r} cannot come before {then!r}: {why}. An order that works: ({', '.join(map(repr, works))})"
    )
