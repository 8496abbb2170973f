"""Where programs run, and in what time."""

from typing import TYPE_CHECKING

from foedus.core.lazy import lazily

if TYPE_CHECKING:
    from foedus.runtimes.processes import Processes
    from foedus.runtimes.simulation import Local, Simulation

__all__ = ["Local", "Processes", "Simulation"]

__getattr__, __dir__ = lazily(
    __name__, {"foedus.runtimes.processes": "Processes", "foedus.runtimes.simulation": "Local Simulation"}
)
