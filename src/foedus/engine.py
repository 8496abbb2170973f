"""Engines: what a runtime of your own is made of. See ``examples/own_runtime.py``; ``foedus.testing`` checks it."""

from foedus.core.coordination.drivers import Driver, Joint, Virtual, Wall
from foedus.core.coordination.executor import Blocks, Executor, Outcome, Plan, Result, Task
from foedus.core.coordination.runtime import Engine, Runtime
from foedus.core.coordination.site import Setup, Site
from foedus.core.time.clock import Clock, RealClock, VirtualClock

__all__ = [
    "Blocks", "Clock", "Driver", "Engine", "Executor", "Joint", "Outcome", "Plan", "RealClock", "Result", "Runtime",
    "Setup", "Site", "Task", "Virtual", "VirtualClock", "Wall",
]  # fmt: skip
