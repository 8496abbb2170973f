"""FedBN: every node has its batch norms to itself."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.jobs import BatchNorms, Own
from foedus.programs.partly_shared import PartlyShared


@dataclass(frozen=True)
class FedBN(PartlyShared):
    """FedAvg of all but the batch norms; their parameters and statistics stay put (Li et al., 2021, arXiv:2102.07623).

    For nodes whose inputs look different (another scanner, another camera). Batch norms are told by the running mean
    that they keep; a network without any is trained by FedAvg.
    """

    @property
    def own(self) -> Own:
        return BatchNorms()
