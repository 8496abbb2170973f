"""Driver: what a session needs to know of how calls go. A runtime's engine says which one a run has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from foedus.core.coordination.call import Call
from foedus.core.coordination.collusion import collude
from foedus.core.coordination.endings import diverged, node_failed
from foedus.core.coordination.executor import InOrder, Outcome, Plan, Task
from foedus.core.coordination.round import Decision, Goes, Raise
from foedus.core.coordination.session import Session
from foedus.core.records.ledger import Costs
from foedus.core.types.aggregator import Aggregator, Fold, blocks
from foedus.core.types.job import Work
from foedus.core.types.update import Failed, Lost, Refused, Update


class Trip(Protocol):
    """One job on its way to its node and back, outside any round: see ``Stream``.

    ``there``: its answer had arrived when the run was stopped, though nobody had taken it.
    """

    @property
    def there(self) -> bool: ...

    def costs(self, outcome: Outcome) -> Costs:
        """The bytes, messages and seconds of it, when its outcome is known."""
        ...

    def snapshot(self) -> Any:
        """Where it is, for the checkpoint; None if nobody can know."""
        ...

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        ...


class Driver(ABC):
    """Drives the rounds of one run."""

    def __init__(self, session: Session) -> None:
        self._s = session

    @abstractmethod
    async def perform(self, call: Call) -> Any:
        """Take a call to its end: its outcomes are noted and charged, what is returned is the accumulator of the
        answers that were accepted (None if there are none). Errors: what the run does not go on with.
        """

    @abstractmethod
    def send(
        self, plan: Plan, task: Task, ticket: Any, sizes: tuple[int, int], arrived: Callable[[], None], saved: Any
    ) -> Trip:
        """Follow a job that was submitted: ``arrived`` is called when its answer is there, but not before this returns.

        ``sizes`` are the bytes to the node and back, ``saved`` is where it was when a run was stopped.
        """

    @abstractmethod
    async def at_peer(self, plan: Plan, placed: Any, task: Task, busy: Callable[[float], None]) -> Outcome:
        """Run a job where this program runs: the outcome, when its time has passed. ``busy`` is told until when the
        node computes, as soon as that is known.
        """

    def check_stream(self) -> None:
        """Errors: ``BadInput`` where there is no asynchronous work."""
        return

    def virtual_s(self, now: float) -> float:
        """What the books say of virtual time at that time of the clock."""
        return 0.0

    def hint(self, call: Call) -> str:
        """Why nobody answered in time, as the rest of a sentence; with advice."""
        return "raise the deadline"

    # -- what drivers have in common ---------------------------------------------------------------------------

    def conclude(self, call: Call, acc: Any, spent: Callable[[int], Costs]) -> Any:
        """The end of a call: all is paid for. Where answers had to come one by one, they are joined here.

        ``spent`` are a member's bytes, messages and seconds. The accumulator of the answers is returned.
        """
        if call.plan.gathered:
            outcomes = [o for p, o in sorted(call.outcomes.items()) if o.missing is None]
            collude(self._s, call.plan, call.args, outcomes)
            if call.plan.aggregator is not None:
                acc = self.folded(call, call.plan.aggregator)
        call.settle(spent)
        return acc

    def folded(self, call: Call, aggregator: Aggregator) -> Any:
        """The accumulator of a call's answers that have come one by one, in the canonical order."""
        folded = Fold(aggregator)
        for span in blocks(len(call.nodes)):
            folded.block(self._taken(call, span))
        return folded.result()

    def _taken(self, call: Call, span: range) -> Iterator[Update]:
        """The answers of a block, which are let go of as they are folded."""
        for p in span:
            outcome = call.outcomes.get(p)
            if outcome is not None and outcome.missing is None and outcome.update is not None:
                update, outcome.update = outcome.update, None
                yield update

    def _collect(self, call: Call, running: InOrder) -> Any:
        """Take all results: outcomes go to the call, and the merged accumulator is the answer."""
        outcomes, acc = running.folded()
        by_node = {o.node: o for o in outcomes}
        call.outcomes = {p: by_node[n] for p, n in enumerate(call.nodes) if n in by_node}
        return acc

    def _failures(self, call: Call, places: Iterable[int]) -> list[Decision]:
        """What follows from those outcomes that are no answers."""
        decisions: list[Decision] = []
        for p in places:
            missing = call.outcomes[p].missing
            if missing is not None and p not in call.round.missing:
                decisions += self.told(call, p, missing)
        return decisions

    def told(self, call: Call, place: int, missing: Failed | Refused | Lost) -> list[Decision]:
        """Tell the round why a member has no answer."""
        match missing:
            case Failed():
                decisions = call.round.failed(place, missing)
            case Refused():
                decisions = call.round.refused(place, missing)
            case Lost():
                decisions = call.round.lost(place, missing, self.goes_on())
        for d in decisions:
            if isinstance(d, Raise):
                raise self.error(d.missing)
        return decisions

    def goes_on(self) -> Goes:
        """Whether a run goes on without a node that is lost."""
        return "if not needed"

    def error(self, missing: Failed | Refused | Lost) -> Exception:
        """The error that ends the run for want of an answer."""
        if isinstance(missing, Failed) and missing.nonfinite:
            return diverged(self._s, missing)
        return node_failed(self._s, missing)

    def _trained(self, call: Call, place: int) -> float:
        work: Work = call.plan.job.work(self._s.roster.size(call.nodes[place]))
        return work.trained
