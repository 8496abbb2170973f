"""A mean by how far updates point where the coordinator's own does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from foedus.aggregators.clipping import lengths
from foedus.aggregators.gram import combined
from foedus.aggregators.rule import Joined, Rule
from foedus.aggregators.strips import in_blocks, over_strips
from foedus.core.coordination.federation import Federation, Reduced
from foedus.core.coordination.until import Until
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Callability
from foedus.core.types.data import ROOT
from foedus.core.types.job import Job, NodeState, NodeView, Parts, Work
from foedus.core.types.model import Model
from foedus.core.types.suspicion import Suspicion
from foedus.core.types.transform import Transform, holds_numbers
from foedus.core.types.update import Tensors, Update

LABELS = "rows of class "
"""What a root's job adds to its metrics, with the number of the class behind it."""


class ByRoot(Rule):
    """What joins updates one of which is the root's, as that of the node ``ROOT``: see ``FLTrust``."""

    @property
    def breakdown(self) -> str:
        return "a root data set that is like the nodes' rows, whatever f"

    def step(self, u_KD: Tensor, nodes: Sequence[int], state: Any) -> tuple[Joined, Any]:
        if ROOT not in nodes:
            raise BadInput(
                f"{self} measures updates by the coordinator's own of the same job, and there is none among these: use "
                "it in a program that joins answers by fed.map_reduce, such as FedAvg(aggregate=FLTrust()), with a "
                "root data set, split(..., root=100)"
            )
        at, length_K = nodes.index(ROOT), lengths(u_KD)
        trust_K = (products(u_KD, u_KD[at]) / (length_K * length_K[at])).nan_to_num(0.0).clamp(0, 1)
        trust_K[at] = 0.0
        most = trust_K.max()
        if most == 0:
            return Joined(torch.zeros_like(u_KD[at]), trust_K + 1), state
        c_K = (trust_K / trust_K.sum() * length_K[at] / length_K).nan_to_num(0.0)
        return Joined(combined(c_K[None], u_KD)[0], 1 - trust_K / most), state


@dataclass(frozen=True)
class FLTrust(ByRoot):
    """The coordinator does every job itself on its root data set, and trusts updates that point where its own does.

    With g the root's update, node k's trust is max(0, cos(u_k, g)); u_k is scaled to the length of g, and the answer is
    the mean by trust (Cao et al. 2021, arXiv:2012.13995, algorithm 2). Where nobody is trusted it is 0. It withstands
    any number of dishonest nodes as far as the root rows are like those of the nodes. What a class that is missing
    there would teach looks like an attack, so that a root data set without one is refused. The root's update goes
    through no transform, and ``buffers`` are joined in the same way by themselves.

    It needs root rows, ``dataset.split(..., root=100)``, and a program that joins answers by ``fed.map_reduce``.
    """

    async def exchange(
        self,
        fed: Federation,
        job: Job,
        args: Tensors,
        nodes: Sequence[int],
        *,
        each: Mapping[int, Tensors] | None,
        transforms: Sequence[Transform],
        until: Until,
    ) -> Reduced:
        """Do the job at the root, then at the nodes, and measure these by that."""
        classes = fed.roster.classes
        (root,) = await fed.map(AtRoot(job, classes), args, (ROOT,))
        if not isinstance(root, Update):
            raise BadInput(f"{self} has no update of the root data set to measure nodes by: {root.reason}")
        check_classes(root, classes, fed.roster.class_names)
        return await fed.map_reduce(job, args, nodes, Rooted(root), each=each, transforms=transforms, until=until)


@dataclass(frozen=True)
class Rooted(ByRoot):
    """``FLTrust`` with the root's update of one call.

    It travels to where answers are folded without that, for nobody needs it there.
    """

    root: Update = field(compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __call__(self, u_KD: Tensor, weights_K: Sequence[float] | Tensor | None = None) -> Tensor:
        """Aggregate K updates of D numbers, as many as the root's update has. Weights are ignored."""
        u_D = torch.cat([v.reshape(-1) for k, v in self.root.value().items() if holds_numbers(k, v.dtype)])
        return Callability.__call__(Rooted(Update({"u": u_D}, 1.0)), u_KD, weights_K)

    def judge(self, acc: list[dict[str, Any]], state: Any) -> tuple[Tensors, Any, dict[int, Suspicion]]:
        if acc:
            acc = self.add(acc, replace(self.root, node=ROOT))
        parts, after, said = super().judge(acc, state)
        return parts, after, {node: suspicion for node, suspicion in said.items() if node != ROOT}


@dataclass(frozen=True)
class AtRoot:
    """A job as the coordinator does it on its root data set: its metrics also count the rows of each class."""

    job: Job
    classes: int | None

    def work(self, rows: int) -> Work:
        return self.job.work(rows)

    def parts(self, model: Model) -> Parts:
        return self.job.parts(model)

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        update, state = self.job(node, args)
        if self.classes is None:
            return update, state
        count = torch.bincount(node.rows.batch()[1].reshape(-1), minlength=self.classes).tolist()
        labels = {f"{LABELS}{c}": float(n) for c, n in enumerate(count)}
        return replace(update, metrics={**update.metrics, **labels}), state


def check_classes(root: Update, classes: int | None, names: Sequence[str] | None) -> None:
    """Errors: ``BadInput`` that names the classes of which the root data set has no row."""
    missing = [c for c in range(classes or 0) if not root.metrics.get(f"{LABELS}{c}", 0)]
    if missing:
        which = ", ".join(repr(names[c]) if names else str(c) for c in missing)
        raise BadInput(
            f"the root data set has no row of class {which}: FLTrust would take what nodes learn of it for an attack. "
            "Give it more rows, split(..., root=...) or root in the file's [data], or data with fewer classes"
        )


def products(u_KD: Tensor, v_D: Tensor) -> Tensor:
    """The inner product of every row with a vector: (K,) float64."""
    k, d = u_KD.shape

    def of(strip: slice) -> Tensor:
        return torch.stack([u_KD[:, b].double() @ v_D[b].double() for b in in_blocks(k, strip)]).sum(0)

    return torch.stack(over_strips(k, d, of)).sum(0)
