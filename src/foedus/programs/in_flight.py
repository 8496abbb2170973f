"""What asynchronous programs share: who gets a job next, when a commit is due, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from foedus.core.coordination.federation import Federation
from foedus.core.coordination.stream import Stream
from foedus.core.errors import BadInput, NodeFailed
from foedus.core.types.keys import Key
from foedus.core.types.update import Tensors
from foedus.jobs import LocalSGD
from foedus.jobs.schedules import Schedule


@dataclass(frozen=True)
class _Among:
    """``k`` of these nodes, uniformly without replacement."""

    nodes: tuple[int, ...]
    k: int

    def draw(self, nodes: int, key: Key) -> tuple[int, ...]:
        return tuple(self.nodes[i] for i in key.choice(len(self.nodes), self.k))


async def give_work(
    fed: Federation,
    updates: Stream,
    args: Tensors,
    at_once: int | None = None,
    wait: Collection[int] = (),
    heard: Mapping[int, float] = MappingProxyType({}),
) -> bool:
    """Give idle nodes the job until ``at_once`` have one (None: all), those in ``wait`` excepted.

    ``heard`` is since when nodes have waited, for the books. False if the run is over or nobody is at work.

    Where more are idle than are needed, chance decides. Called before every commit, it does nothing when called again
    after it: so a resumed run, which begins with it, goes on as the other would have.
    """
    if updates.over:
        return False
    idle = [n for n in updates.idle if n not in wait]
    if at_once is not None:
        free = max(0, at_once - len(updates.busy))
        if free < len(idle):
            idle = list(await fed.sample(_Among(tuple(idle), free))) if free else []
    for n in idle:
        updates.send(n, args, waited=fed.now - heard[n] if n in heard else 0.0)
    return bool(updates.busy)


def check_over(updates: Stream) -> None:
    """Errors: ``NodeFailed`` if the updates have ended before the run was over, because too many nodes have failed."""
    if updates.over:
        return
    last = f"; the last was node {updates.failed[-1].node}: {updates.failed[-1].reason}" if updates.failed else ""
    error = NodeFailed(f"too few nodes are left to go on: {len(updates.out)} have failed{last}")
    error.log = getattr(updates.failed[-1], "log", "") if updates.failed else ""
    raise error


def updates_per_commit(commit_every: int | None, nodes: int) -> int:
    """Updates between two commits: as many as there are nodes, unless told otherwise. To be asked for every update:
    nodes may join with a commit.
    """
    return nodes if commit_every is None else commit_every


def check_commit_every(commit_every: int | None) -> None:
    """Errors: ``BadInput``."""
    if commit_every is not None and commit_every < 1:
        raise BadInput(f"commit_every counts updates, from 1 up, or is None for one a node; got {commit_every}")


def check_at_once(at_once: int | None, nodes: int | None = None) -> None:
    """Errors: ``BadInput``; with ``nodes`` also for more nodes at work than there are."""
    if at_once is not None and at_once < 1:
        raise BadInput(f"concurrency is a number of nodes at work, at least 1, or None for all; got {at_once}")
    if at_once is not None and nodes is not None and at_once > nodes:
        raise BadInput(f"{at_once} nodes cannot be at work at once, there are only {nodes}: lower concurrency")


def check_rate(lr: float | Schedule) -> None:
    """Errors: ``BadInput`` for a rate of the server's that is neither a schedule nor a non-negative number."""
    if not callable(lr) and not (math.isfinite(lr) and lr >= 0):
        raise BadInput(f"lr must be a non-negative number or a schedule, got {lr}")


def check_local(local: LocalSGD) -> None:
    """Errors: ``BadInput`` for a schedule of the nodes' rate."""
    if callable(getattr(local, "lr", None)):
        raise BadInput("local.lr is a schedule over rounds, and an asynchronous node is in none: give it a number")
