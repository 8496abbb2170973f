"""Adversary: which nodes of a run are dishonest, from when on, and what they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import index

import torch

from foedus.attacks.attack import Attack, Attacker
from foedus.attacks.colluding import Colluding, Ring
from foedus.attacks.measure import Success
from foedus.attacks.sign_flip import SignFlip
from foedus.core.coordination.population import Cohort
from foedus.core.errors import BadInput
from foedus.core.types.job import NodeState, NodeView, Rows
from foedus.core.types.keys import Key
from foedus.core.types.policy import Asked, Collusion, Does, Policy, Said
from foedus.core.types.roster import Roster
from foedus.core.types.update import Named, Refused, Tensors, Update
from foedus.core.words import sentence_list
from foedus.sampling import Fraction

OWN = "attack:"
"""What an attack remembers at a node has names that begin so; the node's jobs do not see it."""


@dataclass(frozen=True)
class Adversary:
    """Nodes that are dishonest, beside a program that knows nothing of them: ``train(..., adversary=Adversary(...))``.

    ``nodes``   which: a cohort, drawn once by the run's seed, or ids.
    ``attack``  what they do.
    ``start``   the first job of a node, from 0, at which it does so, and of a peer the first round in which it says
                what is not so; before that it is honest.

    They lie in jobs that train. What they are asked to measure they measure, so that a run's figures are right.

    >>> Adversary(nodes=(3, 1)).members(nodes=20, seed=0)
    (1, 3)
    """

    nodes: Cohort | tuple[int, ...] = Fraction(0.2)
    attack: Attack = field(default_factory=SignFlip)
    start: int = 0

    def __post_init__(self) -> None:
        if self.start < 0:
            raise BadInput(f"start counts the jobs of a node, from 0; got {self.start}")
        if not isinstance(self.attack, Attack):
            raise BadInput(f"attack must be an attack, such as SignFlip(); got {self.attack!r}")
        ids = isinstance(self.nodes, tuple | list | range) and all(hasattr(n, "__index__") for n in self.nodes)
        if ids:
            object.__setattr__(self, "nodes", tuple(map(index, self.nodes)))  # type: ignore[arg-type]
        if not ids and (not isinstance(self.nodes, Cohort) or isinstance(self.nodes, type)):
            raise BadInput(f"nodes is a cohort, such as Fraction(0.2), or ids, such as (3, 7); got {self.nodes!r}")
        if isinstance(self.nodes, tuple) and len(set(self.nodes)) < len(self.nodes):
            raise BadInput(f"a node is dishonest once: an id stands twice in nodes={self.nodes}")

    def members(self, nodes: int, seed: int) -> tuple[int, ...]:
        """Ids of the dishonest nodes among so many, ascending. Errors: ``BadInput`` for ids that are not there."""
        if not isinstance(self.nodes, tuple):
            return tuple(sorted(self.nodes.draw(nodes, Key(seed).child("adversary"))))
        missing = [n for n in self.nodes if not 0 <= n < nodes]
        if missing:
            raise BadInput(
                f"the adversary's nodes={self.nodes} are not all there: {sentence_list([str(n) for n in missing])} "
                f"{'is' if len(missing) == 1 else 'are'} none of the {nodes} nodes, whose ids are 0..{nodes - 1}"
            )
        return tuple(sorted(self.nodes))

    def fitted(self, roster: Roster) -> Adversary:
        """The same on this data. Errors: ``BadInput`` for an attack that does not fit it."""
        return replace(self, attack=self.attack.fitted(roster))

    @property
    def success(self) -> Success:
        """The job that measures how often a model does what the attack wants."""
        return Success(self.attack)

    def policy(self, nodes: int, seed: int, owner: Policy = Policy()) -> Dishonest:
        """The word of every node of a run: that of ``owner``, but for the dishonest ones. Errors: ``BadInput``."""
        members = self.members(nodes, seed)
        self.attack.check(members, nodes)
        return Dishonest(self.attack, members, nodes, self.start, owner)


@dataclass(frozen=True)
class Dishonest(Policy):
    """The policy of a run with an ``Adversary``: whatever is not the attack's is the word of ``owner``."""

    attack: Attack
    members: tuple[int, ...]
    nodes: int
    start: int = 0
    owner: Policy = Policy()

    @cached_property
    def _members(self) -> frozenset[int]:
        # Nodes are many at times, and every task asks.
        return frozenset(self.members)

    def _lies(self, asked: Asked) -> bool:
        trains = asked.job.work(1).trained > 0
        return asked.node in self._members and asked.count >= self.start and trains

    def refuses(self, asked: Asked) -> Refused | None:
        return self.owner.refuses(asked)

    def slowdown(self, node: int) -> float:
        return self.owner.slowdown(node)

    def bounds(self, asked: Asked) -> bool:
        return self.owner.bounds(asked) and not self._lies(asked)

    def does(self, asked: Asked, view: NodeView, args: Tensors, job: Does) -> tuple[Update, NodeState]:
        if not self._lies(asked):
            return self.owner.does(asked, view, args, job)
        memory: Tensors = {k.removeprefix(OWN): v for k, v in view.state.items() if k.startswith(OWN)}
        of_job: NodeState = Named({k: v for k, v in view.state.items() if not k.startswith(OWN)}, "what it remembers")
        after = of_job

        def train(rows: Rows) -> Update:
            nonlocal after
            # As at the beginning of the job: a second training draws what the first would have drawn.
            torch.default_generator.manual_seed(view.key.integer())
            update, after = self.owner.does(asked, replace(view, rows=rows, state=of_job), args, job)
            # It may be a view of the resident model, which the next job overwrites.
            return update.with_parts({k: v.clone() for k, v in update.parts.items()})

        who = Attacker(asked, replace(view, state=of_job), args, self.members, self.nodes, memory)
        if asked.peer and self.attack.speaks:  # its lie is in what it says, and its own model no wreck
            update = train(self.attack.rows(view.rows, who))
        else:
            update, memory = self.attack.answers(who, train)
        return update, {**after, **{OWN + k: v for k, v in memory.items()}}

    @property
    def collusion(self) -> Collusion | None:
        if not isinstance(self.attack, Colluding) or not self.members:
            return None
        return Ring(self.attack, self._members, self.nodes, self.start)

    @property
    def speaks(self) -> bool:
        return self.attack.speaks and bool(self.members)

    def says(self, said: Said, parts: Tensors, heard: Mapping[int, Tensors]) -> Tensors:
        if said.node not in self._members or said.round < self.start:
            return parts
        return self.attack.says(said, parts, {n: p for n, p in heard.items() if n not in self._members})
