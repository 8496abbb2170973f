"""Models of which a part, or a second copy, is the node's own: it lives in the node's state and does not travel.

Legend: D numbers of the flat vector, S of them shared, O a node's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from foedus.core.coordination.evaluation import AT_NODES
from foedus.core.types.job import NodeState, NodeView, Work
from foedus.core.types.model import Model, join
from foedus.core.types.update import Tensors, Update
from foedus.jobs.division import Division, LastLayer, Named, Own, put, take
from foedus.jobs.local_sgd import LocalSGD

OWN = "own"
"""The node's own numbers (O,) in its state."""

EVERYTHING = Named(("*",))
"""The node has a whole model of its own."""


@dataclass(frozen=True)
class PersonalSGD:
    """``local`` on a model of which some tensors are the node's own: only what is shared comes and goes.

    ``args["w"]`` (S,) are the shared numbers. The node's own start as in the initial model, which everybody knows.
    ``head`` None trains all together. Otherwise it trains the node's own parameters first, the shared ones standing
    still, and ``local`` then trains the shared ones (FedRep, arXiv:2102.07078).
    Answers ``delta`` and ``buffers`` of what is shared.
    """

    local: LocalSGD = LocalSGD()
    own: Own = LastLayer()
    head: LocalSGD | None = None

    def work(self, rows: int) -> Work:
        work = self.local.work(rows)
        return work if self.head is None else Work(work.trained + self.head.work(rows).trained)

    def most_weight(self, rows: int) -> float:
        return self.local.most_weight(rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return Division.of(model.layout, self.own).shapes("delta")

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        layout = node.model.layout
        division = Division.of(layout, self.own)
        w_D = whole(node, put(node.model.initial, division.shared, args["w"]), division)
        if self.head is None:
            u, _ = self.local(node, {"w": w_D})
            change_D = join(u.parts, layout)
        else:
            own = self.own.names(layout)
            parameters = [s.name for s in layout.slots if s.start < layout.parameters]
            head = replace(self.head, only=tuple(n for n in parameters if n in own))
            body = replace(self.local, only=tuple(n for n in parameters if n not in own))
            u, _ = head(replace(node, key=node.key.child("head")), {"w": w_D})
            change_D = join(u.parts, layout).clone()
            u, _ = body(node, {"w": w_D + change_D})
            change_D += join(u.parts, layout)
        answer = replace(u, parts=division.answer(take(change_D, division.shared), "delta"))
        return answer, {OWN: take(w_D + change_D, division.own)} if division.own else node.state


@dataclass(frozen=True)
class DittoSGD:
    """``local`` on the shared model, and ``personal`` on a second one that is the node's own (arXiv:2012.04221).

    The second starts as the shared model that the node was first given; its proximal term pulls it to the shared model.
    Answers what ``local`` answers, with the same bits.
    """

    local: LocalSGD = LocalSGD()
    personal: LocalSGD = LocalSGD(proximal=0.1)

    def work(self, rows: int) -> Work:
        return Work(self.local.work(rows).trained + self.personal.work(rows).trained)

    def most_weight(self, rows: int) -> float:
        return self.local.most_weight(rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return self.local.parts(model)

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        u, _ = self.local(node, args)
        u = u.with_parts({k: v.clone() for k, v in u.parts.items()})  # the next job overwrites the resident model
        v_D = node.state[OWN] if OWN in node.state else args["w"]
        apart = replace(node, key=node.key.child("personal"))
        mine, _ = self.personal(apart, {"w": v_D, "anchor": args["w"]})
        return u, {OWN: v_D + join(mine.parts, node.model.layout)}


@dataclass(frozen=True)
class EvaluateOwn:
    """How good the model is that a node has: ``args["w"]`` (D,) with the node's own numbers in their places.

    On the rows that it keeps from training; on all its rows, where the data set has no such rows.
    """

    own: Own = LastLayer()

    def work(self, rows: int) -> Work:
        return Work(evaluated=rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return {}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        division = Division.of(node.model.layout, self.own)
        return AT_NODES(node, {"w": whole(node, args["w"], division)})


@dataclass(frozen=True)
class TuneAndEvaluate:
    """How good ``args["w"]`` is at a node once the node has trained it with ``local`` on its own rows."""

    local: LocalSGD = LocalSGD()

    def work(self, rows: int) -> Work:
        return replace(self.local.work(rows), evaluated=rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return {}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        u, _ = self.local(node, args)
        tuned_D = args["w"] + join(u.parts, node.model.layout)
        return AT_NODES(node, {"w": tuned_D})


def whole(node: NodeView, w_D: Tensor, division: Division) -> Tensor:
    """The model that the node has: this vector with the node's own numbers in their places."""
    return put(w_D, division.own, node.state[OWN]) if OWN in node.state else w_D
