"""Where programs run, and in what time."""

from foedus.runtimes.simulation import Local, Simulation

__all__ = ["Local", "Simulation"]
