"""Attacks of nodes that agree on what they send, and know what others send.

Legend: K updates that the attack is made from, D numbers of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.attacks.attack import Attack
from foedus.attacks.numbers import numbers, value, with_numbers, with_value
from foedus.attacks.scaling import alike
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import fold
from foedus.core.types.keys import Key
from foedus.core.types.policy import Gathered, Said
from foedus.core.types.transform import shapes_of
from foedus.core.types.update import Tensors, Update, finite

KNOWLEDGE = ("honest", "coalition")


@dataclass(frozen=True)
class Known:
    """What dishonest nodes have before them when they agree.

    ``seen_KD``  the updates that they go by, of the nodes ``ids`` (K,), ascending: as much as the attack ``knows``.
    ``own_MD``   what they would have sent themselves, honestly, in the order of their ids.
    ``answers``  how many nodes answer in all.   ``nodes``  how many there are.
    ``harm``     how far a vector that all of them send moves the rule in use from the mean of the honest updates; None
                 where no rule makes one such vector of the answers.
    """

    seen_KD: Tensor
    ids: tuple[int, ...]
    own_MD: Tensor
    answers: int
    nodes: int
    key: Key = Key(0)
    harm: Callable[[Tensor], float] | None = None

    @property
    def dishonest(self) -> int:
        """How many of the answers are theirs."""
        return len(self.own_MD)


class Colluding(Attack):
    """Base of attacks whose nodes agree: ``agree`` says what each sends.

    Called on a stack of honest updates (K, D) it answers what ``dishonest`` nodes send beside them, (dishonest, D).
    Without a server every node agrees with itself, on what its honest neighbours sent last; on its own message as long
    as it has heard nobody. (That is a step ahead of what was heard, and would stand out.)
    """

    speaks = True

    def agree(self, known: Known, memory: Tensors) -> tuple[Tensor, Tensors]:
        """What the dishonest nodes send (M, D), in the order of their ids, and what they remember from now on."""
        raise NotImplementedError

    def __call__(self, honest_KD: Tensor, dishonest: int = 1) -> Tensor:
        honest_KD = torch.as_tensor(honest_KD)
        k = len(honest_KD)
        own_MD = honest_KD.mean(0).expand(dishonest, -1)
        return self.agree(Known(honest_KD, tuple(range(k)), own_MD, k + dishonest, k + dishonest), {})[0]

    def says(self, said: Said, parts: Tensors, heard: Mapping[int, Tensors]) -> Tensors:
        own_D, near = numbers(parts), alike(parts, heard)
        seen = {n: numbers(p) for n, p in near.items()} or {said.node: own_D}
        known = Known(
            torch.stack([seen[n] for n in sorted(seen)]),
            tuple(sorted(seen)),
            own_D[None],
            len(seen) + 1,
            max(seen) + 1,
            said.key,
        )
        return with_numbers(parts, self.agree(known, {})[0][0])


class OneVector(Colluding):
    """Base of those whose nodes all send the same vector."""

    def vector(self, known: Known) -> Tensor:
        """What they all send (D,)."""
        raise NotImplementedError

    def agree(self, known: Known, memory: Tensors) -> tuple[Tensor, Tensors]:
        return self.vector(known).expand(known.dishonest, -1), memory


JOBS = "jobs"
"""How many jobs of each node were gathered so far (nodes,), among what a ring remembers."""


@dataclass(frozen=True)
class Ring:
    """The dishonest nodes of a run, which agree at the coordinator: a ``Collusion``.

    ``start``  the first job of a node, of those that train and are gathered, at which it lies.
    """

    attack: Colluding
    members: frozenset[int]
    nodes: int
    start: int = 0

    def answers(self, gathered: Gathered, memory: Tensors) -> tuple[Mapping[int, Update], Tensors]:
        """What the members send, and what they remember. Members whose own answer is not finite agree on nothing."""
        if gathered.job.work(1).trained <= 0:
            return {}, memory
        jobs = memory.get(JOBS, torch.zeros(self.nodes, dtype=torch.int64))
        there = [n for n in gathered.now if n in self.members]
        counted = jobs.index_add(0, torch.tensor(there, dtype=torch.int64), torch.ones(len(there), dtype=torch.int64))
        memory = {**memory, JOBS: counted}
        usable = {n: u for n, u in gathered.updates.items() if finite(u.parts)}
        liars = [n for n in there if int(jobs[n]) >= self.start and n in usable]
        if not liars:
            return {}, memory
        ring = [n for n in usable if n in self.members]
        known = self._known(gathered, usable, ring)
        # A program may give jobs of several kinds, whose updates have nothing to do with each other.
        own = f"{type(gathered.job).__name__} of {known.own_MD.shape[1]}: "
        kept = {k.removeprefix(own): v for k, v in memory.items() if k.startswith(own)}
        made_MD, after = self.attack.agree(known, kept)
        sent = {n: with_value(usable[n], made_D) for n, made_D in zip(ring, made_MD, strict=True) if n in liars}
        return sent, {**memory, **{own + k: v for k, v in after.items()}}

    def _known(self, gathered: Gathered, usable: Mapping[int, Update], ring: Sequence[int]) -> Known:
        honest = [n for n in usable if n not in self.members]
        # Where nobody honest has been heard yet, they go by what they have.
        ids = honest if self.attack.knows == "honest" and honest else ring
        return Known(
            torch.stack([value(usable[n]) for n in ids]),
            tuple(ids),
            torch.stack([value(usable[n]) for n in ring]),
            len(usable),
            self.nodes,
            gathered.key,
            _harm(gathered, usable, honest, ring),
        )


def _harm(
    gathered: Gathered, usable: Mapping[int, Update], honest: Sequence[int], ring: Sequence[int]
) -> Callable[[Tensor], float] | None:
    rule = gathered.aggregator
    if rule is None or not honest:
        return None
    mean_D = torch.stack([value(usable[n]) for n in honest]).mean(0)
    state = rule.init(shapes_of(usable[honest[0]].parts))

    def answer(vector_D: Tensor) -> Tensor:
        sent = [with_value(u, vector_D) if n in ring else u for n, u in usable.items()]
        return numbers(fold(rule, sent, state)[0])

    if answer(mean_D).shape != mean_D.shape:  # it joins them into something else, such as a model for each cluster
        return None
    return lambda vector_D: float((answer(vector_D) - mean_D).norm())


def check_knows(knows: str) -> None:
    """Errors: ``BadInput`` unless it says whose updates colluding nodes know."""
    if knows not in KNOWLEDGE:
        raise BadInput(
            f'knows is "honest" (all honest updates) or "coalition" (what the dishonest nodes would have sent), '
            f"got {knows!r}"
        )
