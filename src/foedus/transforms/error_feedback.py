"""Error feedback: what compression dropped is sent later."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.transform import holds_numbers, noisy
from foedus.core.types.update import Update
from foedus.transforms.wrapper import Wrapper, under


@dataclass(frozen=True)
class ErrorFeedback(Wrapper):
    """Wrap a compressor: add the residual before it compresses, keep what it dropped as the new residual.

    The sum of what was sent plus the residual is the sum of what was to be sent (Stich et al. 2018,
    arXiv:1809.07599; Karimireddy et al. 2019, arXiv:1901.09847). It is for compressors that drop less than there is
    (top-k, sign, low rank, casts); around one whose error may be longer than the update (``Ternary``, ``QSGD`` of few
    levels without buckets) the residual may grow for ever. Costs a vector of state at every node.

    Errors: ``BadInput`` around noise, which it would take back, and around a ``RandomK`` that scales up so much that
    the residual grows from round to round.
    """

    def __post_init__(self) -> None:
        if noisy(self.inner):
            raise BadInput(
                f"error feedback around {self.inner!r} would take the noise back in the next round: put the noise "
                "before the error feedback, not in it"
            )
        if self.inner.gain > 2:
            raise BadInput(
                f"error feedback around {self.inner!r} diverges: what is scaled up by more than 2 leaves a residual "
                "larger than the update; use unbiased=False"
            )

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        owed = {k: "residual:" + k for k, v in u.parts.items() if holds_numbers(k, v.dtype)}
        wanted = {k: v + state[owed[k]] if owed.get(k) in state else v for k, v in u.parts.items()}
        sent, received, inner_state = self.pass_inner(u.with_parts(wanted), state, key)
        return sent, {**under("residual:", {k: wanted[k] - received[k] for k in owed}), **inner_state}
