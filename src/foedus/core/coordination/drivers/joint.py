"""Rounds that all nodes make together: every one of them runs the program, and makes the same calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from foedus.core.coordination.call import Call
from foedus.core.coordination.drivers.driver import Driver, Trip
from foedus.core.coordination.executor import Outcome, Plan, Task
from foedus.core.coordination.round import Ask, Goes
from foedus.core.errors import BadInput
from foedus.core.records.ledger import Costs
from foedus.core.types.aggregator import blocks
from foedus.core.types.update import Lost


class Joint(Driver):
    """Drives rounds by an executor whose ``wait`` joins this node's answer with all others'.

    A call is one group of all its tasks. What comes back is the same at every node.
    """

    async def perform(self, call: Call) -> Any:
        round_, executor = call.round, self._s.executor
        if not round_.wants_all:
            raise BadInput(
                f"{round_.until!r} closes a round without the nodes that are late, and an exchange in which all join "
                'their answers has to wait for them: use exchange="server"'
            )
        if call.plan.gathered:
            raise BadInput(
                "nodes that act together and know what others send need somebody to whom all answers come, and here "
                'every node joins its own with its neighbours\': use exchange="server", or an attack that needs a '
                "node's own update alone"
            )
        ask = [d for d in round_.asked() if isinstance(d, Ask)]
        while ask:
            tasks = [[call.task(p) for p in span] for span in blocks(len(call.nodes))]
            result = executor.wait(executor.submit(call.plan, call.placed, tasks))
            call.outcomes = dict(enumerate(result.outcomes))
            # Everybody began at once, so that whoever computed for longest is whom the others waited for.
            good = sorted((o.seconds, p) for p, o in call.outcomes.items() if o.missing is None)
            call.arrivals = {p: call.began + seconds for seconds, p in good}
            for p in call.arrivals:
                round_.arrived(p)
            ask = [d for d in self._failures(call, call.outcomes) if isinstance(d, Ask)]
            for d in ask:
                call.again(d.place, self._spent(call, d.place))
        call.settle(lambda p: self._spent(call, p))
        return result.acc if call.nodes else None

    def check_stream(self) -> NoReturn:
        raise BadInput(
            "asynchronous work needs somebody to whom updates come as they are ready, and here all nodes join theirs: "
            'use exchange="server"'
        )

    def send(
        self, plan: Plan, task: Task, ticket: Any, sizes: tuple[int, int], arrived: Callable[[], None], saved: Any
    ) -> Trip:
        self.check_stream()

    async def at_peer(self, plan: Plan, placed: Any, task: Task, busy: Callable[[float], None]) -> Outcome:
        raise BadInput("a decentralised program needs no exchange: its peers talk to their neighbours")

    def goes_on(self) -> Goes:
        return "always"  # who is lost was left out before the call began

    def _spent(self, call: Call, p: int) -> Costs:
        outcome = call.outcomes.get(p)
        if outcome is None or isinstance(outcome.missing, Lost):
            return Costs()
        cost = Costs(compute_s=outcome.seconds) if outcome.costs is None else outcome.costs.copy()
        cost.samples = self._trained(call, p)
        return cost
