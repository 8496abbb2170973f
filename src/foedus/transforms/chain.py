"""Several transforms as one, for where one is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.model import Layout
from foedus.core.types.several import several
from foedus.core.types.transform import (
    LOSSLESS,
    Contraction,
    Identity,
    Mechanism,
    Sends,
    Sensitivity,
    Shapes,
    Transform,
    check_order,
    decode_all,
    encode_all,
    sensitivity_after,
    steps_of,
    wire_chain,
)
from foedus.core.types.update import Tensors, Update
from foedus.transforms.wrapper import below, under


@dataclass(frozen=True)
class Chain(Identity):
    """The transforms one after the other, so that error feedback can be around all of them.

    Top-k and quantisation together are the compressor of Qsparse-local-SGD (Basu et al. 2019, arXiv:1906.02367).
    """

    transforms: tuple[Transform, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "transforms", several(self.transforms))
        check_order(self.transforms)

    @property
    def sends(self) -> Sends:
        return max((t.sends for t in self.transforms), default=Sends.VECTOR)

    @property
    def takes(self) -> Sends:
        return min((t.takes for t in self.transforms), default=Sends.CODE)

    def mechanisms(self, given: Sensitivity | None) -> tuple[Mechanism, ...]:
        found: list[Mechanism] = []
        for t in self.transforms:
            found += t.mechanisms(given)
            given = sensitivity_after(t, given)
        return tuple(found)

    @property
    def gain(self) -> float:
        return math.prod(t.gain for t in self.transforms)

    def sensitivity(self, given: Sensitivity | None) -> Sensitivity | None:
        for t in self.transforms:
            given = sensitivity_after(t, given)
        return given

    def contraction(self, shapes: Shapes) -> Contraction | None:
        sofar, sends, selects = LOSSLESS, Sends.VECTOR, True
        for t, given in zip(self.transforms, wire_chain(self.transforms, shapes), strict=False):
            own = t.contraction(given)
            if own is None or (sends == Sends.CODE and not own.lossless and not own.each):
                return None  # of the numbers that a code is made of, nothing can be left out
            sofar = _both(sofar, own, selects)
            sends = max(sends, t.sends)
            selects = selects and (own.lossless or t.sends in (Sends.SAMPLE, Sends.PLACES))
        return sofar

    @property
    def steps(self) -> tuple[Transform, ...]:
        return tuple(steps_of(self.transforms))

    def fit(self, layout: Layout) -> Transform:
        return replace(self, transforms=tuple(t.fit(layout) for t in self.transforms))

    def unbounded(self) -> Transform:
        return replace(self, transforms=tuple(t.unbounded() for t in self.transforms))

    def wire(self, shapes: Shapes) -> Shapes:
        return wire_chain(self.transforms, shapes)[-1]

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        u, after = encode_all(self.transforms, u, self._apart(state), key)
        return u, self._together(after)

    def decode(self, u: Update, shapes: Shapes) -> Update:
        return self.receive(u, shapes, {})[0]

    def receive(self, u: Update, shapes: Shapes, memory: NodeState) -> tuple[Update, NodeState]:
        u, after = decode_all(self.transforms, u, wire_chain(self.transforms, shapes), self._apart(memory))
        return u, self._together(after)

    def init(self, shapes: Shapes) -> Any:
        return [t.init(shapes) for t in self.transforms]

    def finish(self, total: Tensors, state: Any, key: Key) -> tuple[Tensors, Any]:
        after = []
        for i, (t, s) in enumerate(zip(self.transforms, state, strict=True)):
            total, s = t.finish(total, s, key.child(i))
            after.append(s)
        return total, after

    def _apart(self, state: NodeState) -> list[NodeState]:
        return [below(state, f"{i}:") for i in range(len(self.transforms))]

    def _together(self, states: list[NodeState]) -> dict[str, Tensor]:
        return {k: v for i, s in enumerate(states) for k, v in under(f"{i}:", s).items()}


def _both(first: Contraction, then: Contraction, selects: bool) -> Contraction:
    """One contraction after the other. ``selects``: the first only leaves out numbers, and what happens to the others
    has nothing to do with those (Basu et al. 2019, arXiv:1906.02367). Else by the triangle inequality.
    """
    omega = (1 + first.omega) * (1 + then.omega) - 1
    if selects or then.lossless:
        return Contraction(first.delta * then.delta, omega, first.each and then.each)
    lost, lost_then = math.sqrt(1 - first.delta), math.sqrt(1 - then.delta)
    return Contraction(max(0.0, 1 - (lost + lost_then * (1 + lost)) ** 2), omega, first.each and then.each)
