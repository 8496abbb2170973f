"""The executor of one worker: jobs run in this process, when their answer is waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foedus.core.coordination.executor import Blocks, Executor, Plan, Result
from foedus.core.coordination.site import Site
from foedus.core.types.roster import Prepare
from foedus.core.types.update import Tensors


@dataclass(eq=False)
class _Ticket:
    plan: Plan
    args: Tensors
    blocks: Blocks
    result: Result | None = None
    cancelled: bool = False


class Inline(Executor):
    """Runs blocks in the calling process."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._watched: deque[tuple[_Ticket, Callable[[], None]]] = deque()

    def submit(self, plan: Plan, placed: Any, blocks: Blocks) -> _Ticket:
        """Remember the group."""
        return _Ticket(plan, placed, blocks)

    def wait(self, ticket: Any) -> Result:
        """Run the group, if that has not been done."""
        if ticket.result is None:
            return self._run(ticket)
        result, ticket.result = ticket.result, None
        return result  # type: ignore[no-any-return]

    def watch(self, ticket: Any, done: Callable[[], None]) -> None:
        """Run the group in a turn of the loop of its own, so that timers and messages get theirs in between."""
        self._watched.append((ticket, done))
        if len(self._watched) == 1:
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        ticket, done = self._watched[0]
        if not ticket.cancelled:
            ticket.result = self._run(ticket)
            done()
        self._watched.popleft()
        if self._watched:
            asyncio.get_running_loop().call_soon(self._turn)

    def _run(self, ticket: _Ticket) -> Result:
        return self._site.run(ticket.plan, ticket.args, ticket.blocks)

    def cancel(self, ticket: Any) -> None:
        """It never runs."""
        ticket.cancelled = True

    def prepare(self, how: Prepare) -> None:
        """The site is here."""
        self._site.prepare(how)

    def close(self) -> None:
        """Nothing to do."""
