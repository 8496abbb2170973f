"""Attack: what a dishonest node does in place of its job. A value, like a job, an aggregator or a transform.

Legend: K updates, D numbers of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from foedus.core.errors import BadInput
from foedus.core.types.job import NodeView, Rows
from foedus.core.types.keys import Key
from foedus.core.types.model import Model
from foedus.core.types.policy import Asked, Said
from foedus.core.types.roster import Roster
from foedus.core.types.update import Tensors, Update


@dataclass(frozen=True)
class Attacker:
    """A dishonest node that was given a job: all that its attack may know by itself.

    ``members``  ids of all dishonest nodes, ascending.   ``nodes``  how many nodes there are.
    ``memory``   what the attack remembers at this node, by names of its own.
    """

    asked: Asked
    view: NodeView
    args: Tensors
    members: tuple[int, ...]
    nodes: int
    memory: Tensors

    @property
    def place(self) -> int:
        """Its place among the members, from 0."""
        return self.members.index(self.view.id)

    @property
    def key(self) -> Key:
        """The key of what is drawn for this job."""
        return self.view.key.child("attack")

    @property
    def own_key(self) -> Key:
        """The key of what is drawn once for this node: its poisoned rows are the same in every job."""
        return Key(self.view.key.seed).child("attack", self.view.id)


Train = Callable[[Rows], Update]
"""The node's job on some rows, as an honest node would do it. What it answers has memory of its own."""


class Attack:
    """Base of attacks, whose subclasses are frozen dataclasses that override what they need. This one is honest.

    ``rows``     what the node trains on in place of its rows: as many of them. An attack on the data.
    ``sends``    what the node answers in place of its update. An attack on the model.
    ``answers``  both, and what the attack remembers at the node: to train otherwise, or not at all.
    ``says``     without a server, what a node sends a neighbour, where ``speaks``.

    An attack whose nodes agree on what they send is ``Colluding``. ``knows``: whose updates it is made from, as its
    paper assumes: ``"own"``, the node's; ``"coalition"``, what the dishonest nodes would have sent had they been
    honest; ``"honest"``, those of all honest nodes.
    """

    knows: str = "own"
    speaks: bool = False

    def fitted(self, roster: Roster) -> Attack:
        """This attack on this data, before the run. Errors: ``BadInput`` where it does not fit, such as a trigger that
        lies outside the image.
        """
        return self

    def check(self, members: tuple[int, ...], nodes: int) -> None:
        """Errors: ``BadInput`` where it names nodes that are not there, or not what it takes them for."""

    def rows(self, rows: Rows, who: Attacker) -> Rows:
        """What the node trains on."""
        return rows

    def sends(self, honest: Update, who: Attacker) -> Update:
        """What the node answers; ``honest`` is what its job made of ``rows``."""
        return honest

    def answers(self, who: Attacker, train: Train) -> tuple[Update, Tensors]:
        """What the node answers, and what the attack remembers there."""
        return self.sends(train(self.rows(who.view.rows, who)), who), who.memory

    def says(self, said: Said, parts: Tensors, heard: Mapping[int, Tensors]) -> Tensors:
        """What a node sends a neighbour in place of ``parts``.

        ``heard``: what its honest neighbours sent last, by id.
        """
        return parts

    def aims(self, rows: Rows, model: Model) -> Aim | None:
        """Which of some honest rows the attack wants to be taken for what; None for one that wants nothing special.

        The model is asked for the number of its classes and nothing else.
        """
        return None


@dataclass(frozen=True)
class Aim:
    """What an attack wants of a model: to take the rows at ``positions`` (M,), as ``rows`` shows them, for the classes
    ``wanted`` (M,) int64.
    """

    rows: Rows
    positions: Tensor
    wanted: Tensor


class Around(Attack):
    """Base of an attack around another one, ``attack``, whose rows and aim are its own."""

    attack: Any

    def __post_init__(self) -> None:
        if not isinstance(self.attack, Attack) or self.attack.knows != "own":
            raise BadInput(
                f"{type(self).__name__} is around an attack that a node makes by itself, such as LabelFlip(); "
                f"got {self.attack!r}"
            )

    def fitted(self, roster: Roster) -> Attack:
        return replace(self, attack=self.attack.fitted(roster))  # type: ignore[type-var]

    def rows(self, rows: Rows, who: Attacker) -> Rows:
        return self.attack.rows(rows, who)  # type: ignore[no-any-return]

    def answers(self, who: Attacker, train: Train) -> tuple[Update, Tensors]:
        return self.attack.answers(who, train)  # type: ignore[no-any-return]

    def aims(self, rows: Rows, model: Model) -> Aim | None:
        return self.attack.aims(rows, model)  # type: ignore[no-any-return]
