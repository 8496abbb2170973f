"""The weighted mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from foedus.core.errors import BadInput
from foedus.core.types.aggregator import ALIKE, REPORTED, Callability, Denominator
from foedus.core.types.transform import Shapes
from foedus.core.types.update import Tensors, Update


@dataclass(frozen=True)
class Mean(Callability):
    """The mean of updates by their weights (rows, usually): sum of w_k u_k over sum of w_k, divided once.

    ``weighted=False`` counts every node alike, whatever weight it reports. ``cap``: the most that a node counts, in the
    unit of the weights; whoever reports more counts that much. It bounds what a node gains by a lie about its rows, and
    what one node moves, which a privacy account needs to know.

    >>> Mean()(torch.tensor([[1.0, 2.0], [4.0, 8.0]]), [1.0, 2.0])
    tensor([3., 6.])
    >>> Mean(cap=1.0)(torch.tensor([[1.0, 2.0], [4.0, 8.0]]), [1.0, 1e9])
    tensor([2.5000, 5.0000])
    """

    weighted: bool = True
    cap: float | None = None
    robust: ClassVar[bool] = False
    consumes: ClassVar[bool] = True
    additive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.cap is None:
            return
        if not (math.isfinite(self.cap) and self.cap > 0):
            raise BadInput(f"cap, the most that a node counts, must be a positive number, got {self.cap}")
        if not self.weighted:
            raise BadInput("weighted=False counts every node once, and there is nothing to cap: leave out cap")

    @property
    def denominator(self) -> Denominator:
        """What the sum is divided by."""
        return Denominator("weights" if self.weighted else "count")

    @property
    def weight_range(self) -> tuple[float, float]:
        """The least and the most that one value is multiplied by."""
        if not self.weighted:
            return ALIKE
        return REPORTED if self.cap is None else (0.0, self.cap)

    def empty(self) -> dict[str, Any]:
        return {"sum": None, "weight": 0.0}

    def add(self, acc: dict[str, Any], u: Update) -> dict[str, Any]:
        if not self.weighted:
            u = Update(u.value(), 1.0)
        elif self.cap is not None and u.weight > self.cap:
            u = Update(u.value(), self.cap)
        total = acc["sum"]
        if total is None:
            # Out of place: a job may answer with a tensor that it also keeps.
            total = {k: v.clone() if u.summed else v * u.weight for k, v in u.parts.items()}
        else:
            for k, v in u.parts.items():
                total[k].add_(v, alpha=1 if u.summed else u.weight)
        return {"sum": total, "weight": acc["weight"] + u.weight}

    def merge(self, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
        if a["sum"] is None or b["sum"] is None:
            return b if a["sum"] is None else a
        for k, v in b["sum"].items():
            a["sum"][k].add_(v)
        return {"sum": a["sum"], "weight": a["weight"] + b["weight"]}

    def init(self, shapes: Shapes) -> None:
        return None

    def read(self, acc: dict[str, Any], state: Any) -> tuple[Tensors, Any]:
        if acc["sum"] is None:
            return {}, state
        if not 0 < acc["weight"] < math.inf:
            raise BadInput(f"the weights of the updates sum to {acc['weight']}: a mean needs a finite, positive sum")
        # torch divides a float32 tensor by a Python number in one correctly rounded operation.
        return {k: torch.div(v, acc["weight"]) for k, v in acc["sum"].items()}, state
