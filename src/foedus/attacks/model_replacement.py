"""An update so large that the mean is the attacker's model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from foedus.attacks.attack import Around, Attack, Attacker, Train
from foedus.attacks.label_flip import LabelFlip
from foedus.attacks.on_vector import check_positive
from foedus.attacks.scaling import further, scaled
from foedus.core.types.policy import Said
from foedus.core.types.update import Tensors, Update


@dataclass(frozen=True)
class ModelReplacement(Around):
    """Trains as ``attack`` has it, and sends so many times its update that the mean of all is its model (Bagdasaryan et
    al. 2020, arXiv:1807.00459, equation 3): gamma (X - G) with gamma = n / eta.

    ``attack``  what the model is trained for, such as ``Backdoor(...)``.
    ``factor``  gamma; None: n / (eta m) for n nodes and m dishonest ones, who do it together. That is exact where all
                nodes take part with equal weights and the honest updates cancel, as they do near the end; of a cohort
                it is too much.
    ``eta``     what the server multiplies the mean by.
    """

    attack: Attack = field(default_factory=LabelFlip)
    factor: float | None = None
    eta: float = 1.0
    speaks = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("eta", self.eta)
        if self.factor is not None:
            check_positive("factor", self.factor)

    def answers(self, who: Attacker, train: Train) -> tuple[Update, Tensors]:
        update, memory = self.attack.answers(who, train)
        return scaled(update, self._gamma(who.nodes, len(who.members))), memory

    def says(self, said: Said, parts: Tensors, heard: Mapping[int, Tensors]) -> Tensors:
        return further(self._gamma(len(heard) + 1, 1), self.attack.says(said, parts, heard), heard)

    def _gamma(self, nodes: int, members: int) -> float:
        return nodes / (self.eta * members) if self.factor is None else self.factor
