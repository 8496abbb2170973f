"""What to compare with: all data in one place, and every node on its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import torch
from torch import Tensor

from foedus.core.coordination.federation import Federation
from foedus.core.coordination.judging import mean_of
from foedus.core.errors import NodeFailed
from foedus.core.types.data import POOLED
from foedus.core.types.model import join
from foedus.core.types.state import State
from foedus.core.types.update import Update
from foedus.jobs import LocalSGD


@dataclass(frozen=True)
class Centralized:
    """One computer that holds all rows: what pooling the data would give. Sends nothing, as there is nobody else.

    One round is one job on the pooled rows, so ``local`` counts epochs as everywhere.
    """

    rounds: int
    local: LocalSGD = LocalSGD(epochs=1, batch_size=10, lr=0.1)
    communicates = False
    pooled = True
    objective = "rows"

    async def __call__(self, fed: Federation) -> Tensor:
        s = await fed.begin(lambda w: State(w=w))
        for t in fed.rounds(self.rounds):
            (u,) = await fed.map(self.local.at(t), {"w": s.w}, (POOLED,))
            s = s.replace(w=s.w + join(_update(u).parts, fed.layout))
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]


@dataclass(frozen=True)
class LocalOnly:
    """Every node trains its own model on its own rows and sends nothing: what a node has without the others.

    Its metrics are means over the nodes' own models, every one evaluated on the same test set. Its vector is the mean
    of the models, which nobody would have.
    """

    rounds: int
    local: LocalSGD = LocalSGD(epochs=1, batch_size=10, lr=0.1)
    communicates = False

    async def __call__(self, fed: Federation) -> Tensor:
        s = await fed.begin(lambda w: State(w=w, models=[w] * fed.nodes))
        for t in fed.rounds(self.rounds):
            job = self.local.at(t)
            before = s.models + [fed.initial] * (fed.nodes - len(s.models))  # nodes may have joined
            answers = await asyncio.gather(*(fed.map(job, {"w": w}, (n,)) for n, w in enumerate(before)))
            models = [w + join(_update(u).parts, fed.layout) for w, (u,) in zip(before, answers, strict=True)]
            quality = [await fed.evaluate(w) for w in models]
            metrics = mean_of(quality)
            s = s.replace(w=torch.stack(models).mean(0), models=models)
            await fed.commit(s, metrics, at_nodes=[{"w": w} for w in models], each=quality)
        return s.w  # type: ignore[no-any-return]


def _update(answer: object) -> Update:
    if not isinstance(answer, Update):
        raise NodeFailed(f"a baseline's job failed: {answer}")
    return answer
