"""Asynchronous federated optimisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from foedus.core.coordination.federation import Federation
from foedus.core.errors import BadInput
from foedus.core.types.model import join
from foedus.core.types.state import State
from foedus.core.types.transform import Transform
from foedus.jobs import LocalSGD
from foedus.programs.discounts import Discount, Polynomial
from foedus.programs.in_flight import (
    check_at_once,
    check_commit_every,
    check_local,
    check_over,
    give_work,
    updates_per_commit,
)
from foedus.programs.weights import BY_ROWS, check_objective


@dataclass(frozen=True)
class FedAsync:
    """FedAsync (Xie, Koyejo and Gupta 2019, arXiv:1903.03934): every model that comes is mixed in at once.

    w <- (1 - a) w + a w_k with a = ``mixing`` * discount(staleness), where w_k is the whole model of node k, trained
    from the version that it was given. The paper trains with a proximal term: ``LocalSGD(proximal=...)``.

    ``discount``     ``Constant()``, ``Polynomial(p)``: (1 + staleness)^-p, or ``Hinge(slope, grace)``.
    ``objective``    ``"nodes"``: all count alike, as in the paper. ``"rows"``: a is multiplied by the node's rows over
                     those of the largest. Either is exact as ``mixing`` goes to 0, if all are equally often heard.
    ``concurrency``  nodes at work at once, drawn at random; by default all.
    ``rounds``, ``commit_every``, ``failure``  as in ``ParameterServer``.
    """

    rounds: int
    mixing: float = 0.6
    discount: Discount = Polynomial(0.5)
    local: LocalSGD = LocalSGD(epochs=1, batch_size=10, lr=0.1)
    concurrency: int | None = None
    commit_every: int | None = None
    transforms: tuple[Transform, ...] = ()
    failure: str = "abort"
    objective: str = "nodes"

    def __post_init__(self) -> None:
        check_objective(self.objective)
        if not 0 < self.mixing <= 1:
            raise BadInput(f"mixing is the share of a new model, above 0 and at most 1; got {self.mixing}")
        check_at_once(self.concurrency)
        check_commit_every(self.commit_every)
        check_local(self.local)

    async def __call__(self, fed: Federation) -> Tensor:
        check_at_once(self.concurrency, fed.nodes)
        s = await fed.begin(lambda w: State(w=w))
        new = 0
        async with fed.stream(
            self.local, transforms=self.transforms, commits=self.rounds, failure=self.failure
        ) as updates:
            while await give_work(fed, updates, {"w": s.w}, self.concurrency):
                u = await anext(updates, None)
                if u is None:  # all who were at work have failed, or the run is over
                    continue
                a = self._counts(fed.sizes, u.node) * self.mixing * self.discount.factor(u.staleness)
                w_k = updates.args["w"] + join(u.parts, fed.layout)
                s = s.replace(w=(1 - a) * s.w + a * w_k)
                updates.publish(s.w)
                await give_work(fed, updates, {"w": s.w}, self.concurrency)
                new += 1
                if new == updates_per_commit(self.commit_every, fed.nodes):
                    new = 0
                    await fed.commit(s)
            check_over(updates)
        return s.w  # type: ignore[no-any-return]

    def _counts(self, sizes: Sequence[int], node: int) -> float:
        return sizes[node] / max(sizes) if self.objective == BY_ROWS else 1.0
