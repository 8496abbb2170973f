"""Runtime: where a program runs and in what time. An executor and a clock: two choices, not one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from foedus.core.clock import Clock
from foedus.core.cost import Network
from foedus.core.data import FederatedDataset
from foedus.core.execute import Executor
from foedus.core.model import Model


@dataclass(frozen=True)
class Engine:
    """What a runtime gives a run: where jobs run, what time it is, and (on virtual time) what takes how long."""

    executor: Executor
    clock: Clock
    network: Network | None


@runtime_checkable
class Runtime(Protocol):
    """A frozen dataclass that users choose."""

    def start(self, model: Model, data: FederatedDataset, seed: int) -> Engine:
        """Open what a run needs. Errors: ``BadInput`` if this machine cannot."""
        ...
