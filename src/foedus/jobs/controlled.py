"""Local steps that are corrected for the node's drift: the job of SCAFFOLD. Legend: P parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState, NodeView, Work
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update
from foedus.jobs.local_sgd import LocalSGD


@dataclass(frozen=True)
class ControlledSGD:
    """``local`` with c - c_i added to every gradient; c is ``args["c"]``, c_i the node's state, zero at first.

    Afterwards c_i is the mean of the node's own gradients on the way (arXiv:1910.06378, option II). Answers
    ``delta``, ``buffers`` and ``control`` (P,), by how much c_i changed. Under momentum the mean is by what each
    gradient counted (``LocalSGD.weight_of_steps``). Steps of size 0 teach nothing, and leave c_i as it is.
    """

    local: LocalSGD = LocalSGD()

    def work(self, rows: int) -> Work:
        return self.local.work(rows)

    def most_weight(self, rows: int) -> float:
        return self.local.most_weight(rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return {**self.local.parts(model), "control": (model.layout.parameters,)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        if callable(self.local.lr):
            raise BadInput("this job's learning rate is a schedule: give nodes ControlledSGD(local.at(t))")
        c = args["c"]
        c_i = node.state["c"] if "c" in node.state else torch.zeros_like(c)
        local = self.local.at_node(node)
        u, _ = local(node, {"w": args["w"], "correction": c - c_i})
        went = local.weight_of_steps(len(node.rows)) * self.local.lr
        after = c_i - c - u["delta"] / went if went else c_i
        return u.with_parts({**u.parts, "control": after - c_i}), {"c": after}
