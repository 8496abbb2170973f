"""Error feedback: what compression dropped is sent later."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.transform import Shapes, holds_numbers, noisy
from foedus.core.types.update import Update
from foedus.transforms.wrapper import SOME, Wrapper, known, scaled_down, under


@dataclass(frozen=True)
class ErrorFeedback(Wrapper):
    """Wrap a compressor: add the residual before it compresses, keep what it dropped as the new residual.

    The sum of what was sent plus the residual is the sum of what was to be sent (Stich et al. 2018,
    arXiv:1809.07599; Karimireddy et al. 2019, arXiv:1901.09847). The residual stays bounded around what drops less than
    there is: top-k, sign, low rank, casts. What is unbiased (``QSGD``, ``Ternary``, ``RandomK``) may drop more, and is
    scaled down by 1 / (1 + omega) on arrival, so that it does not (``Contraction``); RandomK is then the one that is
    not scaled up. Costs a vector of state at every node.

    Errors: ``BadInput`` around noise, which it would take back, and around what says nothing of how much it drops.
    """

    def __post_init__(self) -> None:
        if noisy(self.inner):
            raise BadInput(
                f"error feedback around {self.inner!r} would take the noise back in the next round: put the noise "
                "before the error feedback, not in it"
            )
        known(self.inner, SOME, "error feedback around")

    def wire(self, shapes: Shapes) -> Shapes:
        known(self.inner, shapes, "error feedback around")
        return super().wire(shapes)

    def arrived(self, u: Update, shapes: Shapes, memory: NodeState) -> tuple[Update, NodeState]:
        got, after = self.inner.receive(u, shapes, memory)
        return scaled_down(got, shapes, known(self.inner, shapes, "error feedback around")), after

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        owed = {k: "residual:" + k for k, v in u.parts.items() if holds_numbers(k, v.dtype)}
        wanted = {k: v + state[owed[k]] if owed.get(k) in state else v for k, v in u.parts.items()}
        sent, received, inner_state = self.pass_inner(u.with_parts(wanted), state, key)
        return sent, {**under("residual:", {k: wanted[k] - received[k] for k in owed}), **inner_state}
