"""Where programs run, and in what time."""

from foedus.runtimes.processes import Processes
from foedus.runtimes.simulation import Local, Simulation

__all__ = ["Local", "Processes", "Simulation"]
