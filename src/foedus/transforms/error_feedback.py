"""Error feedback: what compression dropped is sent later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foedus.core.job import NodeState
from foedus.core.keys import Key
from foedus.core.transform import Plain, Shapes, Transform, shapes_of
from foedus.core.update import BUFFERS, Tensors, Update


@dataclass(frozen=True)
class ErrorFeedback(Plain):
    """Wrap a compressor: add the residual before it compresses, keep what it dropped as the new residual.

    The sum of what was sent plus the residual is the sum of what was to be sent (Stich et al. 2018,
    arXiv:1809.07599; Karimireddy et al. 2019, arXiv:1901.09847). Costs a vector of state at every node.
    """

    inner: Transform

    def wire(self, shapes: Shapes) -> Shapes:
        return self.inner.wire(shapes)

    def encode(self, u: Update, state: NodeState, key: Key) -> tuple[Update, NodeState]:
        wanted = {
            k: v + state["residual:" + k] if k != BUFFERS and "residual:" + k in state else v
            for k, v in u.parts.items()
        }
        inner_state = {k.removeprefix("inner:"): v for k, v in state.items() if k.startswith("inner:")}
        sent, inner_state_after = self.inner.encode(u.with_parts(wanted), inner_state, key)
        received = self.inner.decode(sent, shapes_of(wanted))
        after = {"residual:" + k: wanted[k] - received[k] for k in wanted if k != BUFFERS}
        return sent, {**after, **{"inner:" + k: v for k, v in inner_state_after.items()}}

    def decode(self, u: Update, shapes: Shapes) -> Update:
        return self.inner.decode(u, shapes)

    def init(self, shapes: Shapes) -> Any:
        return self.inner.init(shapes)

    def finish(self, total: Tensors, state: Any, key: Key) -> tuple[Tensors, Any]:
        return self.inner.finish(total, state, key)
