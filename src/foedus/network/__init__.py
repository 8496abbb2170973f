"""Links and devices as a cost model: how long messages and computations take on the virtual clock.

A ``CostModel`` is made of ``Links`` and a ``Device``; ``IDEAL``, ``LAN``, ``WAN`` and ``MOBILE`` are ready ones, and
``theory`` has the closed forms that simulations are checked against.
"""

from foedus.network import theory
from foedus.network.model import (
    CostModel,
    Device,
    Exponential,
    Jitter,
    Links,
    LogNormal,
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
    "CostModel",
    "Device",
    "Exponential",
    "Jitter",
    "Links",
    "LogNormal",
    "ShiftedExponential",
    "Steady",
    "by_name",
    "gbit",
    "mbit",
    "milliseconds",
    "theory",
]
