"""What a runtime of your own is made of: see ``examples/own_runtime.py``; ``foedus.testing`` checks it."""

from foedus.core.clock import Clock, RealClock, VirtualClock
from foedus.core.drivers import Driver, Joint, Virtual, Wall
from foedus.core.execute import Blocks, Executor, Outcome, Plan, Result, Task
from foedus.core.runtime import Engine, Runtime
from foedus.core.site import Setup, Site

__all__ = [
    "Blocks", "Clock", "Driver", "Engine", "Executor", "Joint", "Outcome", "Plan", "RealClock", "Result", "Runtime",
    "Setup", "Site", "Task", "Virtual", "VirtualClock", "Wall",
]  # fmt: skip
