"""Every node is a process of this machine, and time is the wall clock."""

from foedus.runtimes.processes.processes import Processes

__all__ = ["Processes"]
