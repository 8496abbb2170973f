"""FedPer: every node has the last layers to itself."""

from __future__ import annotations

from dataclasses import dataclass

from foedus.jobs import LastLayer, Named, Own
from foedus.jobs.division import check_patterns
from foedus.programs.partly_shared import PartlyShared


@dataclass(frozen=True)
class FedPer(PartlyShared):
    """Base layers are averaged, personal layers are a node's own (Arivazhagan et al., 2019, arXiv:1912.00818).

    ``personal`` names the parameters and buffers that are a node's own, by name or pattern (``("head.*",)``); ``None``
    is the last layer, ``()`` is nothing: FedAvg. All of a node's model is trained together.
    """

    personal: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.personal is not None:
            check_patterns(self.personal, "personal")

    @property
    def own(self) -> Own:
        return LastLayer() if self.personal is None else Named(tuple(self.personal))
