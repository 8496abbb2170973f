"""BASGD: asynchronous gradient descent among dishonest nodes, by buckets.

Legend: P parameters, B buckets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from foedus.aggregators import Median
from foedus.core.coordination.federation import Federation
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator, join
from foedus.core.types.state import State
from foedus.core.types.suspicion import UNUSABLE, Suspicion
from foedus.core.types.transform import Transform, shapes_of
from foedus.core.types.update import BUFFERS, Tensors, Update, finite
from foedus.jobs import Gradient
from foedus.jobs.schedules import Schedule
from foedus.programs.in_flight import check_at_once, check_over, check_rate, give_work
from foedus.programs.singly import check_single, least, needs


@dataclass(frozen=True)
class BASGD:
    """Buffered asynchronous SGD (Yang and Li 2021, arXiv:2003.00628, Algorithm 1): a robust rule over buckets.

    The gradients of node k are averaged in bucket k mod B. When every bucket holds one, the server steps,
    w <- w - lr rule(means of the buckets), and empties them. A node is given the latest model as soon as its gradient
    has come. f dishonest nodes spoil f buckets at the most, however often they answer.

    ``rounds``     steps of the server; each is a commit.
    ``buckets``    B, at most as many as there are nodes; None: one for each. The fewer, the shorter a step waits for
                   the slow; the rule needs B to be at least what it needs of nodes, such as 2 f + 1.
    ``aggregate``  the rule; ``f`` of it are the dishonest nodes that are withstood. With one bucket and
                   ``Mean(weighted=False)`` it is plain asynchronous descent.
    ``lr``         rate of a step, or a schedule over steps. Nodes count alike, whatever they say of their rows.
    ``concurrency``  nodes at work at once, drawn at random; by default all.
    ``failure``    ``"skip"``: who fails is asked no more. Buckets are dealt out anew among the others, no more than
                   there are nodes left, and what they held is dropped, so that nobody is in two of them. ``"abort"``:
                   the run ends, but for an answer that is NaN or infinite.

    What is suspected of a node is what the rule says of its bucket: those who share one cannot be told apart.
    """

    rounds: int
    buckets: int | None = None
    aggregate: Aggregator = Median()
    lr: float | Schedule = 0.1
    batch_size: int | None = None
    concurrency: int | None = None
    transforms: tuple[Transform, ...] = ()
    failure: str = "skip"
    objective: ClassVar[str] = "nodes"

    def __post_init__(self) -> None:
        check_rate(self.lr)
        check_at_once(self.concurrency)
        check_single(self.aggregate)
        Gradient(self.batch_size)
        if self.buckets is not None and self.buckets < 1:
            raise BadInput(f"buckets is a number of them, at least 1, or None for one a node; got {self.buckets}")

    async def __call__(self, fed: Federation) -> Tensor:
        check_at_once(self.concurrency, fed.nodes)
        s = await fed.begin(lambda w: State(w=w, joined=None, t=0))
        self._check(fed.nodes)
        filled = self._empty(range(fed.nodes))  # so it is at every commit
        unusable: dict[int, Suspicion] = {}
        async with fed.stream(
            Gradient(self.batch_size),
            transforms=self.transforms,
            commits=self.rounds,
            failure=self.failure,
            robust=True,
        ) as updates:
            while await give_work(fed, updates, {"w": s.w}, self.concurrency):
                u = await anext(updates, None)
                left = [n for n in range(fed.nodes) if n not in updates.out]
                if left != list(filled.bucket_of):
                    filled = self._empty(left)
                    if len(filled.counts) < least(self.aggregate):
                        break
                if u is None:  # all who were at work have failed, or the run is over
                    continue
                value = u.value()
                if not finite(value):  # its weight was 0, say
                    unusable[u.node] = UNUSABLE
                    continue
                filled.add(u.node, value)
                if filled.full:
                    s, said = self._step(s, filled, fed.layout.parameters)
                    filled = self._empty(left)
                    updates.publish(s.w)
                    await give_work(fed, updates, {"w": s.w}, self.concurrency)
                    await fed.commit(s, suspects={**said, **unusable})
                    unusable = {}
            check_over(updates)
        return s.w  # type: ignore[no-any-return]

    def _check(self, nodes: int) -> None:
        """Errors: ``BadInput`` where so many buckets are never filled, or are too few for the rule."""
        b = nodes if self.buckets is None else self.buckets
        if b > nodes:
            raise BadInput(f"{b} buckets are never filled by {nodes} nodes, each of which is in one: lower buckets")
        if b < least(self.aggregate):
            raise BadInput(
                f"{needs(self.aggregate, 'buckets')}, and there are {b}: raise buckets, at most to the {nodes} nodes, "
                "or lower f"
            )

    def _empty(self, nodes: Sequence[int]) -> _Buckets:
        """Buckets in which these nodes take turns; of those there are to be no more than nodes."""
        b = min(len(nodes), self.buckets or len(nodes))
        return _Buckets({n: place % b for place, n in enumerate(nodes)}, [{} for _ in range(b)], [0] * b)

    def _step(self, s: State, filled: _Buckets, p: int) -> tuple[State, dict[int, Suspicion]]:
        means = [Update(mean, 1.0, node=b) for b, mean in enumerate(filled.means())]
        memory = self.aggregate.init(shapes_of(means[0].parts)) if s.joined is None else s.joined
        total, memory, said = join(self.aggregate, means, memory)
        lr = self.lr(s.t) if callable(self.lr) else self.lr
        w = s.w.clone()
        w[:p].sub_(total["gradient"], alpha=lr)
        if BUFFERS in total:
            w[p:].add_(total[BUFFERS])
        suspects = {n: said[b] for n, b in filled.bucket_of.items() if n in filled.heard and b in said}
        return s.replace(w=w, joined=memory, t=s.t + 1), suspects


@dataclass
class _Buckets:
    """What has come since the last step: by bucket the sum of its gradients, in float64, and how many they are."""

    bucket_of: Mapping[int, int]
    sums: list[dict[str, Tensor]]
    counts: list[int]
    heard: set[int] = field(default_factory=set)

    def add(self, node: int, value: Tensors) -> None:
        """Put a node's gradient into its bucket."""
        b = self.bucket_of[node]
        total = self.sums[b]
        for k, v in value.items():
            total[k] = total[k].add_(v) if k in total else v.double()
        self.counts[b] += 1
        self.heard.add(node)

    @property
    def full(self) -> bool:
        """Whether there is something in every one."""
        return all(self.counts)

    def means(self) -> list[Tensors]:
        """The mean of each, float32."""
        each = zip(self.sums, self.counts, strict=True)
        return [{k: (v / n).to(torch.float32) for k, v in total.items()} for total, n in each]
