"""The executor of one worker: jobs run in this process, when their answer is waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foedus.core.execute import Blocks, Plan, Result, Site
from foedus.core.model import Model
from foedus.core.roster import Prepare, RowStore
from foedus.core.update import Tensors


@dataclass(frozen=True)
class _Ticket:
    plan: Plan
    args: Tensors
    blocks: Blocks


class Inline:
    """Runs blocks in the calling process."""

    workers = 1
    ahead = 1

    def __init__(self, model: Model, data: RowStore, seed: int) -> None:
        self._site = Site(model, data, seed)

    def place(self, args: Tensors) -> Any:
        """A copy: the program may change its tensors in place before the job runs."""
        return {k: v.clone() for k, v in args.items()}

    def release(self, placed: Any) -> None:
        """Nothing to do."""

    def submit(self, plan: Plan, placed: Any, blocks: Blocks) -> _Ticket:
        """Remember the group."""
        return _Ticket(plan, placed, blocks)

    def wait(self, ticket: Any) -> Result:
        """Run the group."""
        return self._site.run(ticket.plan, ticket.args, ticket.blocks)

    def cancel(self, ticket: Any) -> None:
        """It never runs."""

    def prepare(self, how: Prepare) -> None:
        """The site is here."""
        self._site.prepare(how)

    def close(self) -> None:
        """Nothing to do."""
