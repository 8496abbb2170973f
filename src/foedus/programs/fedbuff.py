"""Buffered asynchronous aggregation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foedus.aggregators import Mean
from foedus.core.coordination.federation import Federation
from foedus.core.errors import BadInput
from foedus.core.types.aggregator import Aggregator
from foedus.core.types.state import State
from foedus.core.types.transform import Transform, shapes_of
from foedus.core.types.update import Update
from foedus.jobs import LocalSGD
from foedus.optimizers import SGD, ServerOptimizer
from foedus.programs.discounts import Discount, Polynomial
from foedus.programs.in_flight import check_at_once, check_local, check_over, give_work
from foedus.programs.singly import check_single
from foedus.programs.weights import objective, weights


@dataclass(frozen=True)
class FedBuff:
    """FedBuff (Nguyen et al. 2022, arXiv:2106.06639): the server steps when ``buffer`` updates have come.

    An update is the difference from the version that its node started from, times discount(staleness); their sum is
    divided by ``buffer``, the paper's K. A version is a step of the server, and so is a commit. A node whose update is
    in the buffer waits for the step: it would only start again from what it had. With all nodes in the buffer this
    is ``FedAvg`` with the same ``aggregate``.

    ``concurrency``  nodes at work at once, drawn at random; by default all that do not wait.
    ``aggregate``    ``Mean(weighted=False)`` is the paper's; under ``Mean()`` an update counts by its node's rows,
                     against the mean of all nodes. Under a robust rule the run goes on without a node that answers
                     NaN or infinity.
    ``failure``      ``"abort"``, or ``"skip"`` to go on without a node that failed.
    """

    rounds: int
    buffer: int = 10
    discount: Discount = Polynomial(0.5)
    local: LocalSGD = LocalSGD(epochs=1, batch_size=10, lr=0.1)
    aggregate: Aggregator = Mean(weighted=False)
    server: ServerOptimizer = SGD(lr=1.0)
    concurrency: int | None = None
    transforms: tuple[Transform, ...] = ()
    failure: str = "abort"

    def __post_init__(self) -> None:
        if self.buffer < 1:
            raise BadInput(f"buffer is a number of updates, at least 1; got {self.buffer}")
        check_at_once(self.concurrency)
        check_local(self.local)
        check_single(self.aggregate)

    @property
    def objective(self) -> str:
        """What nodes count: by ``"rows"`` under a mean by rows, under any other rule ``"nodes"`` count alike."""
        return objective(self.aggregate)

    async def __call__(self, fed: Federation) -> Tensor:
        if self.buffer > fed.nodes:
            raise BadInput(
                f"a buffer larger than the nodes: {self.buffer} updates never come from {fed.nodes} nodes, each of "
                "which waits until its update is used; lower buffer"
            )
        check_at_once(self.concurrency, fed.nodes)
        s = await fed.begin(lambda w: State(w=w, server=self.server.init(w), joined=None))
        buffer: list[Update] = []  # this and the next are empty at every commit
        heard: dict[int, float] = {}
        async with fed.stream(
            self.local,
            transforms=self.transforms,
            commits=self.rounds,
            failure=self.failure,
            robust=self.aggregate.robust,
        ) as updates:
            while await give_work(fed, updates, {"w": s.w}, self.concurrency, {u.node for u in buffer}):
                u = await anext(updates, None)
                if u is None:  # all who were at work have failed, or the run is over
                    continue
                factor = self.discount.factor(u.staleness)
                heard[u.node] = fed.now
                buffer.append(u.with_parts({k: v * factor for k, v in u.parts.items()}))
                full = len(buffer) == self.buffer
                if full:
                    s = self._step(fed, s, buffer)
                    buffer = []
                    updates.publish(s.w)
                # Whoever is idle because others were drawn does not wait for anybody.
                waiting = heard if self.concurrency is None else {}
                await give_work(fed, updates, {"w": s.w}, self.concurrency, {u.node for u in buffer}, waiting)
                if full:
                    heard = {}
                    await fed.commit(s)
            check_over(updates)
        return s.w  # type: ignore[no-any-return]

    def _step(self, fed: Federation, s: State, buffer: list[Update]) -> State:
        # In the order of nodes, which is the one that a synchronous round has.
        buffer = sorted(buffer, key=lambda u: u.node)
        memory = self.aggregate.init(shapes_of(buffer[0].parts)) if s.joined is None else s.joined
        total, memory = fed.join(self.aggregate, buffer, memory)
        sizes = fed.sizes
        # What these count against as many on the mean: divided by their own sum alone, a buffer of one would count
        # every node alike. All nodes together, and nodes that count alike, make exactly 1.
        everybody = weights(self.aggregate, sizes, range(len(sizes)))
        factor = sum(everybody[u.node] for u in buffer) * len(sizes) / (sum(everybody) * len(buffer))
        return self.server.step(s.replace(joined=memory), {k: v * factor for k, v in total.items()})
