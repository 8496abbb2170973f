"""Runtime: where a program runs and in what time. An executor and a clock: two choices, not one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from foedus.core.clock import Clock
from foedus.core.cost import Network
from foedus.core.execute import Executor
from foedus.core.model import Model
from foedus.core.roster import NodeData
from foedus.core.session import Session


def _here(program: Any, session: Session) -> None:
    return None


@dataclass(frozen=True)
class Engine:
    """What a runtime gives a run: where jobs run, what time it is, and (on virtual time) what takes how long.

    ``elsewhere`` is for a runtime that runs some programs not here but at their nodes: given the program and the run's
    session it answers with a coroutine that runs it to its end there and keeps the session's books here, or with None,
    for a program that runs here. ``notices`` are what a reader of the run should know of where it ran.
    """

    executor: Executor
    clock: Clock
    network: Network | None
    elsewhere: Callable[[Any, Session], Coroutine[Any, Any, Any] | None] = _here
    notices: tuple[str, ...] = ()


@runtime_checkable
class Runtime(Protocol):
    """A frozen dataclass that users choose."""

    def start(self, model: Model, data: NodeData, seed: int) -> Engine:
        """Open what a run needs. Errors: ``BadInput`` if this machine cannot."""
        ...
