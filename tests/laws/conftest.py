"""What several laws need."""

from dataclasses import dataclass
from typing import Any

import pytest

from foedus.core.coordination.runtime import Engine
from foedus.core.time.clock import VirtualClock
from foedus.core.time.cost import Network
from foedus.runtimes.simulation.pool import Pool


class _StaysOpen:
    """An executor that outlives a run, for starting worker processes is what takes the time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class _OnPool:
    pool: Pool
    network: Network

    def start(self, setup: Any) -> Engine:
        return Engine(_StaysOpen(self.pool), VirtualClock(), self.network)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def on_pool() -> Any:
    """``on_pool(pool, network)``: a runtime over worker processes that already run, and go on after it."""
    return _OnPool
