"""Simulation: virtual time, jobs run inline or in worker processes."""

from foedus.runtimes.simulation.simulation import Local, Simulation

__all__ = ["Local", "Simulation"]
