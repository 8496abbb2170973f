"""Runtime: where a program runs and in what time. An executor and a clock: two choices, not one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from foedus.core.coordination.drivers import Driver, Virtual
from foedus.core.coordination.executor import Executor
from foedus.core.coordination.session import Session
from foedus.core.coordination.site import Setup
from foedus.core.time.clock import Clock
from foedus.core.time.cost import Network


def _here(program: Any, session: Session) -> None:
    return None


@dataclass(frozen=True)
class Engine:
    """What a runtime gives a run: where jobs run, what time it is, and (on virtual time) what takes how long.

    ``driver`` says how calls go: on ``Virtual`` time, on the ``Wall`` clock, or made by all nodes together, ``Joint``.
    ``elsewhere`` is for a runtime that runs some programs not here but at their nodes: given the program and the run's
    session it answers with a coroutine that runs it to its end there and keeps the session's books here, or with None,
    for a program that runs here. ``notices`` are what a reader of the run should know of where it ran.
    """

    executor: Executor
    clock: Clock
    network: Network | None = None
    driver: Callable[[Session], Driver] = Virtual
    elsewhere: Callable[[Any, Session], Coroutine[Any, Any, Any] | None] = _here
    notices: tuple[str, ...] = ()


@runtime_checkable
class Runtime(Protocol):
    """A frozen dataclass that users choose."""

    def start(self, setup: Setup) -> Engine:
        """Open what a run needs: workers are given the setup. Errors: ``BadInput`` if this machine cannot."""
        ...
