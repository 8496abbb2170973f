"""Transforms: what happens to an update on its way, and what that costs in bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, NoReturn, Protocol, runtime_checkable

import torch

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.model import Layout
from foedus.core.types.several import several
from foedus.core.types.update import BUFFERS, Tensors, Update

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


@dataclass(frozen=True)
class Sensitivity:
    """The most that one node can put into a message: the norm of its numbers is at most ``bound``.

    ``norm``      which norm, over all covered parts together: ``"l2"``, the Euclidean one.
    ``bound``     in the units of the update's value (``Update.value()``: per unit of weight, not times the weight). It
                  is how far a sum of values moves when the node is added or removed; when it is replaced, twice that.
    ``excludes``  parts that it says nothing of. What holds no numbers (places, bits) is not covered either, nor what
                  travels beside the parts: the weight and the metrics.

    Source: Dwork and Roth (2014), *The Algorithmic Foundations of Differential Privacy*, definition 3.8.
    """

    norm: Literal["l1", "l2", "linf"]
    bound: float
    excludes: tuple[str, ...] = (BUFFERS,)


@dataclass(frozen=True)
class Mechanism:
    """Noise that is meant to hide the data.

    ``kind``         its distribution, independent for every number: ``"gaussian"``.
    ``std``          its standard deviation, in the units of what it is added to.
    ``where``        added by every ``"node"`` to its own value, or once to the ``"sum"``, before that is divided.
    ``sensitivity``  of what it is added to; None: nothing bounds that, and nobody can say what the noise hides.
    """

    kind: str
    std: float
    where: Literal["node", "sum"]
    sensitivity: Sensitivity | None = None

    @property
    def multiplier(self) -> float | None:
        """The noise multiplier, ``std / sensitivity.bound``, without a unit; None where nothing is bounded."""
        return None if self.sensitivity is None else self.std / self.sensitivity.bound


@dataclass(frozen=True)
class Contraction:
    """How near what arrives comes to the numbers v that were encoded, whatever they are. With C for encode and decode,

        E||C(v) / (1 + omega) - v||^2 <= (1 - delta) ||v||^2.

    ``delta``  in [0, 1]. 1: all arrives; 0: what arrives is never further from v than zero is, and no more is known.
    ``omega``  0 for what contracts as it is, such as top-k. What is unbiased, E C(v) = v, has a variance of at most
               omega ||v||^2 instead, which may be much more than ||v||^2: it contracts if scaled down by
               1 / (1 + omega), and then delta is 1 / (1 + omega).
    ``each``   holds for every number by itself, as rounding does: also of the factors of a code.

    It is of numbers within the range of their types, up to float32's rounding; noise that hides data is not counted.
    Methods that remember what was dropped need a contraction, or what they remember grows without end.

    Source: Koloskova et al. (2019, arXiv:1902.00340), assumption 1 and its examples.
    """

    delta: float
    omega: float = 0.0
    each: bool = False

    @property
    def lossless(self) -> bool:
        """Whether C(v) is v."""
        return self.delta == 1.0 and self.omega == 0.0

    @property
    def unbiased(self) -> bool:
        """Whether C(v) is v on average."""
        return math.isclose(self.delta * (1 + self.omega), 1.0)


LOSSLESS = Contraction(1.0, each=True)


@runtime_checkable
class Transform(Protocol):
    """A frozen dataclass between a node's job and the fold.

    At the node ``encode`` turns the update into the tensors that travel; wherever the fold is, ``decode`` turns them
    back into tensors that can be added; ``finish`` runs once on the aggregate. Transforms never touch the part
    ``buffers``. A subclass of ``Identity`` overrides only what it needs.

    What others have to know before they stand before, after or around it, and what a privacy account reads, it says as
    values: ``sends`` and ``takes``, what its message is and what it can be given; ``sensitivity``, what becomes of a
    bound; ``mechanisms``, its noise; ``gain``, what decoding multiplies by; ``contraction``, how much is lost.
    """

    @property
    def sends(self) -> Sends:
        """What its message is."""
        ...

    @property
    def takes(self) -> Sends:
        """The message furthest from an update that it may be given; beyond it what it promises would not hold."""
        ...

    def mechanisms(self, given: Sensitivity | None) -> tuple[Mechanism, ...]:
        """The noise that it adds, in order, if what it is given is bounded by ``given``."""
        ...

    @property
    def gain(self) -> float:
        """What decoding multiplies the numbers of its message by, at most: 1 for all but those that scale up."""
        ...

    def sensitivity(self, given: Sensitivity | None) -> Sensitivity | None:
        """How much its message is bounded, if what it is given is bounded by ``given``. None: not at all."""
        ...

    def contraction(self, shapes: Shapes) -> Contraction | None:
        """How near what arrives comes to an update of these shapes. None: nothing is known, or it depends on more than
        the update.
        """
        ...

    @property
    def steps(self) -> tuple[Transform, ...]:
        """The transforms that it is made of, in their order: itself, if it is no chain."""
        ...

    def fit(self, layout: Layout) -> Transform:
        """This transform for a model with this layout, for those that must know which numbers are a matrix."""
        ...

    def unbounded(self) -> Transform:
        """What a node may do in its place without anybody seeing it from outside: see ``Policy.bounds``."""
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


class Identity:
    """A transform that changes nothing; the neutral element, and the base of the others."""

    @property
    def sends(self) -> Sends:
        return Sends.VECTOR

    @property
    def takes(self) -> Sends:
        return Sends.CODE

    def mechanisms(self, given: Sensitivity | None) -> tuple[Mechanism, ...]:
        return ()

    @property
    def gain(self) -> float:
        return 1.0

    def sensitivity(self, given: Sensitivity | None) -> Sensitivity | None:
        return given if self._changes_nothing else None

    def contraction(self, shapes: Shapes) -> Contraction | None:
        return LOSSLESS if self._changes_nothing else None

    @property
    def _changes_nothing(self) -> bool:
        # Of a transform that changes something and does not say how much, nothing is known.
        ours = (Identity.encode, Identity.decode, Identity.receive)
        return (type(self).encode, type(self).decode, type(self).receive) == ours

    @property
    def steps(self) -> tuple[Transform, ...]:
        return (self,)

    def fit(self, layout: Layout) -> Transform:
        return self

    def __repr__(self) -> str:
        # No address in it: what transforms remember is kept by their text, and a resumed run is another process.
        return f"{type(self).__name__}()"

    def unbounded(self) -> Transform:
        """What a node may do in its place without anybody seeing it from outside: nothing, where it only bounds or
        hides an update that then travels as it is.
        """
        ours = (Identity.wire, Identity.decode, Identity.receive)
        travels = (type(self).wire, type(self).decode, type(self).receive) == ours
        return Identity() if travels and (noisy(self) or self.sensitivity(None) is not None) else self

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


def prepare(transforms: Transform | Sequence[Transform], layout: Layout) -> tuple[Transform, ...]:
    """The transforms of a call, for a model with this layout; a single one is a chain of one.

    Errors: those of ``check_order``.
    """
    chosen = several(transforms)
    check_order(chosen)
    return tuple(t.fit(layout) for t in chosen)


_WHY = {
    Sends.VECTOR: "a number that it sends belongs to another coordinate every time",
    Sends.SAMPLE: "what it sends tells of the data where noise does not reach",
    Sends.PLACES: "the norm of what it sends is not that of the update",
}
"""Why a transform that takes no more than this cannot be given more."""


def check_order(transforms: Sequence[Transform]) -> None:
    """Errors: ``BadInput`` for an order in which one transform surely undoes what another promises."""
    for t in transforms:
        if isinstance(t, type) or not isinstance(t, Transform):
            raise BadInput(f"{t!r} is no transform: use an object such as Clip(1.0); your own class inherits Identity")
    steps = steps_of(transforms)
    furthest: Transform | None = None  # whose message is the least like the update so far
    bounding: Transform | None = None
    breaking: Transform | None = None  # may have broken that bound since
    bound: Sensitivity | None = None
    for t in steps:
        if furthest is not None and furthest.sends > t.takes:
            _refuse(steps, furthest, t, _WHY[t.takes])
        after = sensitivity_after(t, bound)
        if noisy(t):
            if breaking is not None:
                why = f"it may make an update longer than {bounding!r} allows, which voids the noise"
                _refuse(steps, breaking, t, why)
            bounding = breaking = None  # whatever comes after the noise can no longer harm it
        elif after is None and bound is not None:
            breaking = t
        elif after is not None and after != bound:
            bounding, breaking = t, None
        bound = after
        if furthest is None or t.sends > furthest.sends:
            furthest = t


def steps_of(transforms: Sequence[Transform]) -> list[Transform]:
    """The transforms, with those that chains are made of in the place of the chains."""
    return [step for t in transforms for step in t.steps]


def sensitivity_after(t: Transform, given: Sensitivity | None) -> Sensitivity | None:
    """How much what leaves a step is bounded. Noise that was added at the node has no bound."""
    return None if noisy(t) else t.sensitivity(given)


def noisy(t: Transform) -> bool:
    """Whether it adds noise at the node."""
    return any(m.where == "node" for m in t.mechanisms(None))


def _refuse(steps: Sequence[Transform], first: Transform, then: Transform, why: str) -> NoReturn:
    def place(t: Transform) -> tuple[bool, bool, Sends]:
        hides = noisy(t) or t.sensitivity(None) is not None
        return (not hides, t.takes > Sends.VECTOR, t.sends)

    works = sorted(steps, key=place)
    raise BadInput(
        f"{first!r} cannot come before {then!r}: {why}. An order that works: ({', '.join(map(repr, works))})"
    )
