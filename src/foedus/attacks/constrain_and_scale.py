"""A poisoned update that is as long as is allowed."""

from __future__ import annotations

from dataclasses import dataclass, field

from foedus.attacks.attack import Around, Attack, Attacker, Train
from foedus.attacks.backdoor import Backdoor
from foedus.attacks.numbers import value
from foedus.attacks.on_vector import check_positive
from foedus.attacks.scaling import scaled
from foedus.core.types.update import Tensors, Update


@dataclass(frozen=True)
class ConstrainAndScale(Around):
    """Trains as ``attack`` has it, and sends that update with the norm that passes unnoticed (Bagdasaryan et al. 2020,
    arXiv:1807.00459, section 4.3).

    ``bound``  the Euclidean norm of what it sends, per unit of weight; None: that of what the node would have sent
               honestly, which it trains a second time to know.

    The paper adds a penalty for being far from the global model to the loss, or scales the trained update to the bound
    ("train-and-scale"). Here it is the second: it needs nothing of the job's inside, so that it works with any job.
    """

    attack: Attack = field(default_factory=Backdoor)
    bound: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bound is not None:
            check_positive("bound", self.bound)

    def answers(self, who: Attacker, train: Train) -> tuple[Update, Tensors]:
        bound = float(value(train(who.view.rows)).norm()) if self.bound is None else self.bound
        update, memory = self.attack.answers(who, train)
        norm = float(value(update).norm())
        return scaled(update, bound / norm) if norm > 0 else update, memory
