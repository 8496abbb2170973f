"""IFCA: nodes of several kinds, and a model for each kind. Legend: K models, D numbers of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foedus.aggregators import Mean
from foedus.core.coordination.evaluation import AT_NODES
from foedus.core.coordination.federation import Federation
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.job import Job
from foedus.core.types.keys import Key
from foedus.core.types.state import State
from foedus.core.types.transform import Shapes
from foedus.core.types.update import Tensors, Update
from foedus.jobs import ClusteredSGD, EvaluateBest
from foedus.jobs.clustered import CLUSTER
from foedus.programs.fedavg import FedAvg


@dataclass(frozen=True)
class IFCA(FedAvg):
    """Iterative federated clustering (Ghosh et al., 2020, arXiv:2006.04088, Algorithm 1, model averaging).

    Every round each node is given all ``clusters`` models, trains the one whose loss on its rows is least, and says
    which it was; each model moves by the mean over those who chose it. K times the bytes down of FedAvg, and once its
    bytes up. With one cluster it is FedAvg.

    The first model starts as the initial one, each other one ``spread`` normal noise away from it: the models have to
    differ for nodes to choose, and which kinds are found depends on where they start. The run's accuracy is that of
    all nodes with the models they choose, on the rows that they keep from training. ``Run.vector`` is the model that
    most rows chose; all models are in the checkpoint's state, ``models`` (K, D).
    """

    clusters: int = 2
    spread: float = 0.1

    def __post_init__(self) -> None:
        if self.clusters < 1:
            raise BadInput(f"clusters must be at least 1, got {self.clusters}")
        if not (math.isfinite(self.spread) and self.spread > 0):
            raise BadInput(f"spread must be positive, or all models would be the same; got {self.spread}")

    @property
    def node_evaluation(self) -> Job:
        """What ``train(evaluate_nodes=...)`` asks of nodes."""
        return EvaluateBest(self.clusters) if self.clusters > 1 else AT_NODES

    def job(self, t: int) -> ClusteredSGD:
        return ClusteredSGD(self.local.at(t), self.clusters)

    async def __call__(self, fed: Federation) -> Tensor:
        p = fed.layout.parameters
        s = await fed.begin(
            lambda w: State(
                w=w,
                models=self._first_models(w, p, fed.draw("first models")),
                server=[self.server.init(w)] * self.clusters,
                largest=0,
            )
        )
        for t in fed.rounds(self.rounds):
            nodes = await fed.sample(self.cohort)
            total = await fed.map_reduce(
                self.job(t),
                {"models": s.models},
                nodes,
                ByCluster(self.aggregate),
                transforms=self.transforms,
                until=self.until,
            )
            moved = [
                self.server.step(State(w=w, server=memory), _of_cluster(total, k))
                for k, (w, memory) in enumerate(zip(s.models, s.server, strict=True))
            ]
            chosen = [float(total.get(f"{k}.{_WEIGHT}", 0.0)) for k in range(self.clusters)]
            largest = chosen.index(max(chosen)) if total else s.largest
            models = torch.stack([m.w for m in moved])
            s = State(w=models[largest].clone(), models=models, server=[m.server for m in moved], largest=largest)
            await fed.commit(s, at_nodes={"models": s.models} if self.clusters > 1 else None)
        return s.w  # type: ignore[no-any-return]

    def _first_models(self, w_D: Tensor, parameters: int, key: Key) -> Tensor:
        models_KD = w_D.repeat(self.clusters, 1)
        for k in range(1, self.clusters):
            models_KD[k, :parameters] += self.spread * torch.randn(parameters, generator=key.child(k).torch())
        return models_KD


_WEIGHT = "weight"


@dataclass(frozen=True)
class ByCluster:
    """One aggregate for every model that was chosen, by any aggregator: the parts of model k are ``"k.delta"`` ...

    Who does not say which model it chose, as a node that only pretends to train, is counted with the first.
    """

    inner: Aggregator = Mean()

    @property
    def robust(self) -> bool:
        return self.inner.robust

    @property
    def consumes(self) -> bool:
        """As the aggregator inside."""
        return getattr(self.inner, "consumes", False)

    def empty(self) -> dict[int, Any]:
        return {}

    def add(self, acc: dict[int, Any], u: Update) -> dict[int, Any]:
        k = int(u.metrics.get(CLUSTER, 0.0))
        inside, weight = acc.get(k) or (self.inner.empty(), 0.0)
        acc[k] = (self.inner.add(inside, u), weight + u.weight)
        return acc

    def merge(self, a: dict[int, Any], b: dict[int, Any]) -> dict[int, Any]:
        for k, (inside, weight) in b.items():
            a[k] = (self.inner.merge(a[k][0], inside), a[k][1] + weight) if k in a else (inside, weight)
        return a

    def init(self, shapes: Shapes) -> dict[str, Any]:
        return {"new": self.inner.init(shapes)}

    def read(self, acc: dict[int, Any], state: dict[str, Any]) -> tuple[Tensors, dict[str, Any]]:
        parts: dict[str, Tensor] = {}
        state = dict(state)
        for k in sorted(acc):
            inside, weight = acc[k]
            read, state[str(k)] = self.inner.read(inside, state.get(str(k), state["new"]))
            parts |= {f"{k}.{name}": v for name, v in read.items()}
            parts[f"{k}.{_WEIGHT}"] = torch.tensor(weight)
        return parts, state


def _of_cluster(total: Tensors, k: int) -> Tensors:
    return {name.removeprefix(f"{k}."): v for name, v in total.items() if name.startswith(f"{k}.")}
