"""Call: one job given to several nodes, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from foedus.core.coordination.executor import Blocks, Outcome, Plan, Task, in_groups
from foedus.core.coordination.population import Drawn
from foedus.core.coordination.round import Round
from foedus.core.coordination.session import Session
from foedus.core.records.ledger import Costs
from foedus.core.types.suspicion import UNUSABLE
from foedus.core.types.transform import nbytes, shapes_of
from foedus.core.types.update import Answer, Failed, Late, Lost, Missing, Refused, Tensors


@dataclass
class Call:
    """One map over nodes: a node is known by its place in ``nodes``.

    ``args``    what all members are given, as the program gave it.
    ``own``     arguments for single nodes, by id, beside those that are ``placed`` for all.
    ``counts``  by place, the number of the node's job.
    ``drawn``   how the cohort was drawn, where that is known.
    ``arrivals``  place -> time, in order of arrival.
    """

    session: Session
    plan: Plan
    args: Tensors
    placed: Any
    nodes: tuple[int, ...]
    round: Round
    bytes_down: int
    own: Mapping[int, Tensors] = field(default_factory=dict)
    drawn: Drawn | None = None
    counts: list[int] = field(default_factory=list)
    arrivals: dict[int, float] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    """By place, of those whose answer was looked at when the round was closed."""

    trips: list[Any] = field(default_factory=list)
    """By place, whatever the driver follows of a member's job."""

    def __post_init__(self) -> None:
        s = self.session
        self.began = s.clock.now
        self.bytes_up = self.plan.bytes_up(s.model)
        self.counts = [s.next_count(n) for n in self.nodes]

    def task(self, place: int) -> Task:
        """The task of a member, with what its node remembers now."""
        node = self.nodes[place]
        return Task(node, self.counts[place], self.session.node_state(node), self.own.get(node, {}))

    def own_bytes(self, place: int) -> int:
        """Bytes of the arguments that are for this member alone."""
        own = self.own.get(self.nodes[place])
        return 0 if own is None else nbytes(shapes_of(own))

    def tasks(self, accepted: Set[int] | None = None) -> Iterator[Blocks]:
        """All tasks by group and block, or those of the members that were accepted."""
        every, workers = len(self.nodes), self.session.executor.workers
        return in_groups(every, workers, lambda p: self.task(p) if accepted is None or p in accepted else None)

    def again(self, place: int, spent: Costs) -> None:
        """A member is asked once more: its first attempt is paid for, and another job of its node begins."""
        self.arrivals.pop(place, None)
        self._charge(place, spent, self.round.retried[place])
        self.counts[place] = self.session.next_count(self.nodes[place])

    def why(self, place: int) -> Missing | None:
        """Why there is no answer of a member; None if there is one."""
        outcome = self.outcomes.get(place)
        if outcome is not None and outcome.missing is None:
            return None
        node = self.nodes[place]
        return self.round.missing.get(place) or self.round.retried.get(place) or Late(node)

    def answer(self, place: int) -> Answer:
        """A member's update, or why there is none, where answers are wanted one by one."""
        missing = self.why(place)
        if missing is not None:
            return missing
        update = self.outcomes[place].update
        assert update is not None
        return update

    # -- the books ---------------------------------------------------------------------------------------------

    def settle(self, spent: Callable[[int], Costs]) -> None:
        """Pay for what every member did, and take over the node states of the answers that were accepted.

        ``spent`` are a member's bytes, messages and seconds.
        """
        s, now = self.session, self.session.clock.now
        awaited = self._awaited(now)
        if self.nodes:
            s.ledger.median_s += self._median(now)
        for place, node in enumerate(self.nodes):
            why, cost = self.why(place), spent(place)
            cost.awaited_s = awaited[place]
            self._charge(place, cost, why)
            if why is None:
                s.accept_node_state(node, self.outcomes[place].state)
            elif isinstance(why, Failed):
                s.note_left_out(why)
                if (why.nonfinite or why.invalid) and self.plan.aggregator is not None and self.plan.aggregator.robust:
                    s.note_suspects({node: UNUSABLE})

    def _charge(self, place: int, cost: Costs, why: Missing | None) -> None:
        node = self.nodes[place]
        cost.jobs = 1
        unused(cost, why)
        self.session.ledger.charge(node, cost)

    def _median(self, now: float) -> float:
        """Seconds after which the median node was done; one without an answer was out to the end."""
        middle = (len(self.nodes) - 1) // 2
        arrivals = list(self.arrivals.values())
        return (arrivals[middle] if middle < len(arrivals) else now) - self.began

    def _awaited(self, now: float) -> list[float]:
        """By place: how long others waited for it. Whoever waits, waits for all that are still out alike."""
        n = len(self.nodes)
        came = len(self.arrivals)
        blame, before, shares = 0.0, self.began, [0.0] * n
        for i, (place, arrived) in enumerate(self.arrivals.items()):
            blame += i * (arrived - before) / (n - i)
            shares[place], before = blame, arrived
        if came < n:
            blame += came * (now - before) / (n - came)
            for place in range(n):
                if place not in self.arrivals:
                    shares[place] = blame
        return shares


def unused(cost: Costs, why: Missing | None) -> None:
    """Note in a job's costs why its answer was not used, if it was not."""
    match why:
        case None:
            return
        case Late():
            cost.late = 1
        case Refused():
            cost.refused, cost.samples = 1, 0.0
        case Failed():
            cost.failed = 1
        case Lost():
            cost.lost = 1
    cost.dropped, cost.lost_s = 1, cost.compute_s
