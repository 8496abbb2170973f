"""Plans on their way to processes: each is sent once to each of them, and known by a number from then on."""

from __future__ import annotations

from typing import Any

from foedus.core.coordination.executor import Plan
from foedus.runtimes.launch import pickled

PLANS = 64
"""Plans that processes remember; a learning-rate schedule makes a new one every round."""


class Plans:
    """Numbers for plans, and which of so many processes knows which."""

    def __init__(self, processes: int) -> None:
        self._held: dict[int, tuple[Plan, Any, bytes]] = {}
        self._ids: dict[Any, int] = {}
        self._made = 0
        self._known: list[set[int]] = [set() for _ in range(processes)]

    def id(self, plan: Plan) -> int:
        """The plan's number. Equal plans share one. Errors: ``BadInput`` for one that cannot be sent."""
        # One that cannot be hashed is known by identity, and held so that it stays its own.
        try:
            name: Any = (type(plan.job), plan)
            known = self._ids.get(name)
        except TypeError:
            name = id(plan)
            known = self._ids.get(name)
        if known is None:
            data = pickled(plan, lambda e: f"{plan.job!r} cannot be sent to worker processes: {e}")
            known = self._made % PLANS
            self._made += 1
            if known in self._held:
                del self._ids[self._held[known][1]]
                for process in self._known:
                    process.discard(known)
            self._ids[name] = known
            self._held[known] = (plan, name, data)
        return known

    def new_to(self, process: int, id: int) -> bytes | None:
        """The plan as it travels, if this process has not been given it; it counts as given from now on."""
        if id in self._known[process]:
            return None
        self._known[process].add(id)
        return self._held[id][2]
