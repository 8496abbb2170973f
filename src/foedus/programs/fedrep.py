"""FedRep: a shared representation, and a head of every node's own."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.core.errors import BadInput
from foedus.jobs import LocalSGD, PersonalSGD
from foedus.programs.fedper import FedPer


@dataclass(frozen=True)
class FedRep(FedPer):
    """A node first fits its own head to the shared body, then the body to it (Collins et al., 2021, arXiv:2102.07078).

    ``head`` says how the node's own parameters are trained while the shared ones stand still, ``local`` how the
    shared ones are trained after that; ``None`` is as ``local``. Only the body's change is sent. With an empty head
    (``personal=()``) it is FedAvg.
    """

    head: LocalSGD | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.local.only or (self.head is not None and self.head.only):
            raise BadInput("FedRep says itself what is trained when: leave local.only and head.only empty")

    def job(self, t: int) -> PersonalSGD:
        local = self.local.at(t)
        return PersonalSGD(local, self.own, local if self.head is None else self.head.at(t))
