"""How often a model does what an attack wants: its success.

Legend: D numbers of a model, M rows that an attack aims at.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.attacks.attack import Attack
from foedus.attacks.classes import predicted
from foedus.core.types.job import NodeState, NodeView, Parts, Rows, Work
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update

NAME = "attack_success"
"""The metric's name."""


def success(attack: Attack, model: Model, w_D: Tensor, rows: Rows, batch_size: int = 1000) -> float | None:
    """The share of the rows that the attack aims at which a model takes for what it wants: of a backdoor, the share of
    rows of other classes with the trigger that are taken for its target.

    ``rows`` are honest ones, a test set's. None where the attack aims at nothing, or there is no such row. The model
    holds nothing sensible until its next ``load``.
    """
    done, of = _counted(attack, model, w_D, rows, batch_size)
    return done / of if of else None


def _counted(attack: Attack, model: Model, w_D: Tensor, rows: Rows, batch_size: int) -> tuple[int, int]:
    """On how many rows it succeeds, and how many it aims at."""
    aim = attack.aims(rows, model)
    if aim is None:
        return 0, 0
    model.load(w_D)
    done = 0
    for begin in range(0, len(aim.positions), batch_size):
        part = slice(begin, begin + batch_size)
        x, _ = aim.rows.batch(aim.positions[part])
        done += int((predicted(model.outputs(x)) == aim.wanted[part]).sum())
    return done, len(aim.positions)


@dataclass(frozen=True)
class Success:
    """The job that measures it on a node's rows, those that it holds out where there are such: ``args["w"]`` (D,).

    Its weight is the number of rows that the attack aims at, its metric ``attack_success``.
    """

    attack: Attack
    batch_size: int = 1000

    def work(self, rows: int) -> Work:
        return Work(evaluated=rows)

    def parts(self, model: Model) -> Parts:
        return {}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        rows = node.rows if node.held_out is None or not len(node.held_out) else node.held_out
        done, of = _counted(self.attack, node.model, args["w"], rows, self.batch_size)
        return Update({}, float(of), {NAME: done / of} if of else {}, node.id), node.state
