"""The runtimes of one machine: virtual time (``Simulation``) or the wall clock (``Local``) over the same executors."""

from __future__ import annotations

import os
from dataclasses import dataclass

from foedus.core.coordination.drivers import Virtual, Wall
from foedus.core.coordination.executor import Executor
from foedus.core.coordination.runtime import Engine
from foedus.core.coordination.site import Setup, Site
from foedus.core.errors import BadInput
from foedus.core.time.clock import RealClock, VirtualClock
from foedus.core.time.cost import Network
from foedus.network import LAN
from foedus.runtimes.simulation.inline import Inline
from foedus.runtimes.simulation.pool import Pool


def executor(workers: int, setup: Setup, real_time: bool = False) -> Executor:
    """Inline for one worker, a pool of processes for more."""
    if workers < 1:
        raise BadInput(f"a runtime needs at least one worker, got {workers}")
    if workers > 1 and os.name == "nt":
        raise BadInput("worker processes need a Unix system: use one worker")
    return Inline(Site(setup, real_time)) if workers == 1 else Pool(workers, setup, real_time)


@dataclass(frozen=True)
class Simulation:
    """Simulate a federation on this machine, in virtual time.

    ``workers``  1 runs jobs inline; more are processes, each with one torch thread. The model's bits are the same.
    ``network``  links and devices as a cost model, ``foedus.network.LAN`` by default.
    """

    workers: int = 1
    network: Network = LAN

    def start(self, setup: Setup) -> Engine:
        """Open executor and clock."""
        return Engine(executor(self.workers, setup), VirtualClock(), self.network, Virtual)


@dataclass(frozen=True)
class Local:
    """Run on this machine in real time: nothing is simulated, seconds of compute are those measured at the workers.

    Many nodes share a few workers, which take their jobs in the order in which these were given. So a quorum is of the
    first that are done, and a deadline leaves out whose turn has not come by then.
    """

    workers: int = 1

    def start(self, setup: Setup) -> Engine:
        """Open executor and clock."""
        return Engine(executor(self.workers, setup, real_time=True), RealClock(), driver=Wall)
