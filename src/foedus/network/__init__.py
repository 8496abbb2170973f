"""Links and devices as a cost model: how long messages and computations take on the virtual clock.

A ``CostModel`` is made of ``Links``, a ``Device`` and, where nodes come and go, an availability; ``IDEAL``, ``LAN``,
``WAN`` and ``MOBILE`` are ready ones, and
``theory`` has the closed forms that simulations are checked against.
"""

from foedus.core.cost import Always
from foedus.network import theory
from foedus.network.availability import DayNight, OnOff
from foedus.network.model import (
    CostModel,
    Device,
    Exponential,
    Jitter,
    Links,
    LogNormal,
    Pareto,
    ShiftedExponential,
    Steady,
)
from foedus.network.presets import IDEAL, LAN, MOBILE, PRESETS, WAN, by_name
from foedus.network.units import gbit, mbit, milliseconds

__all__ = [
    "IDEAL",
    "LAN",
    "MOBILE",
    "PRESETS",
    "WAN",
    "Always",
    "CostModel",
    "DayNight",
    "Device",
    "Exponential",
    "Jitter",
    "Links",
    "LogNormal",
    "OnOff",
    "Pareto",
    "ShiftedExponential",
    "Steady",
    "by_name",
    "gbit",
    "mbit",
    "milliseconds",
    "theory",
]
