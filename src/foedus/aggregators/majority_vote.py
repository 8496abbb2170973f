"""The majority of the signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from foedus.core.types.aggregator import Callability
from foedus.core.types.transform import Shapes, holds_numbers
from foedus.core.types.update import Tensors, Update


@dataclass(frozen=True)
class MajorityVote(Callability):
    """For every number the sign that most nodes have: 1, -1, or 0 for a tie. One node, one vote, whatever its weight.

    signSGD with majority vote (Bernstein et al. 2018, arXiv:1802.04434): where the honest nodes agree, fewer than half
    of all cannot turn them (arXiv:1810.05291). With ``Sign`` as the transform a vote costs one bit. The length of what
    it answers says nothing: the server's learning rate is the step. ``buffers`` are no votes, they are averaged.

    >>> MajorityVote()(torch.tensor([[1.0, -0.1, 5.0], [2.0, 9.0, -5.0], [-7.0, -0.2, 0.0]]))
    tensor([ 1., -1.,  0.])
    """

    robust: ClassVar[bool] = True
    consumes: ClassVar[bool] = True
    additive: ClassVar[bool] = True

    def empty(self) -> dict[str, Any]:
        return {"sum": None, "nodes": 0}

    def add(self, acc: dict[str, Any], u: Update) -> dict[str, Any]:
        value = u.value()
        if not all(bool(torch.isfinite(v).all()) for v in value.values()):
            return acc
        # float32 counts without error up to 2**24 nodes.
        parts = {k: v.sign() if holds_numbers(k, v.dtype) else v.clone() for k, v in value.items()}
        return self.merge(acc, {"sum": parts, "nodes": 1})

    def merge(self, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
        if a["sum"] is None or b["sum"] is None:
            return b if a["sum"] is None else a
        for k, v in b["sum"].items():
            a["sum"][k].add_(v)
        return {"sum": a["sum"], "nodes": a["nodes"] + b["nodes"]}

    def init(self, shapes: Shapes) -> None:
        return None

    def read(self, acc: dict[str, Any], state: Any) -> tuple[Tensors, Any]:
        if acc["sum"] is None:
            return {}, state
        n = acc["nodes"]
        return {k: v.sign() if holds_numbers(k, v.dtype) else v / n for k, v in acc["sum"].items()}, state
