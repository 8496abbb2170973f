"""Elastic averaging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from foedus.core.coordination.federation import Federation
from foedus.core.coordination.stream import Stream
from foedus.core.errors import BadInput
from foedus.core.types.model import join
from foedus.core.types.state import State
from foedus.core.types.transform import Transform
from foedus.jobs import LocalSGD
from foedus.programs.in_flight import check_commit_every, check_local, check_over, updates_per_commit


@dataclass(frozen=True)
class EASGD:
    """Elastic averaging SGD, asynchronous (Zhang, Choromanska and LeCun 2015, arXiv:1412.6651, Algorithm 1).

    Every worker keeps parameters x of its own. After the steps of ``local`` it meets the centre c, and a spring
    pulls both: e = rate (x - c), x <- x - e, c <- c + e. What one gains the other loses, so without gradients the
    sum of all parameters stays. The model is the centre. A stronger spring does not make a worker count more: where all
    are equally often heard it is the mean of the nodes' losses that falls, each counting alike.

    ``rate``    the paper's alpha in (0, 1); by default 0.9 / n, its beta being 0.9.
    ``local``   steps between two meetings, the paper's tau: ``LocalSGD(steps=10, ...)``.
    ``rounds``, ``commit_every``, ``failure``  as in ``ParameterServer``.
    """

    rounds: int
    local: LocalSGD = LocalSGD(steps=10, batch_size=10, lr=0.1)
    rate: float | None = None
    commit_every: int | None = None
    transforms: tuple[Transform, ...] = ()
    failure: str = "abort"
    objective: ClassVar[str] = "nodes"

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate < 1:
            raise BadInput(f"EASGD's rate must be above 0 and below 1, or None for 0.9 / nodes; got {self.rate}")
        check_commit_every(self.commit_every)
        check_local(self.local)

    async def __call__(self, fed: Federation) -> Tensor:
        s = await fed.begin(lambda w: State(w=w))
        new = 0
        async with fed.stream(
            self.local, transforms=self.transforms, commits=self.rounds, failure=self.failure
        ) as updates:
            self._begin(updates, s)
            async for u in updates:
                # A worker's x is what it was given and what it has added: it needs no place of its own.
                x = updates.args["w"] + join(u.parts, fed.layout)
                pull = (0.9 / fed.nodes if self.rate is None else self.rate) * (x - s.w)
                s = s.replace(w=s.w + pull)
                updates.publish(s.w)
                updates.send(u.node, {"w": x - pull})
                new += 1
                if new == updates_per_commit(self.commit_every, fed.nodes):
                    new = 0
                    await fed.commit(s)
                    self._begin(updates, s)
            check_over(updates)
        return s.w  # type: ignore[no-any-return]

    def _begin(self, updates: Stream, s: State) -> None:
        """Workers that are new begin where the centre is."""
        for n in () if updates.over else updates.idle:
            updates.send(n, {"w": s.w})
