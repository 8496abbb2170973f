"""Links and devices as a cost model: how long messages and computations take on the virtual clock.

A ``CostModel`` is made of ``Links``, a ``Device`` and, where nodes come and go, an availability; ``IDEAL``, ``LAN``,
``WAN`` and ``MOBILE`` are ready ones, and
``theory`` has the closed forms that simulations are checked against.
"""

from typing import TYPE_CHECKING

from foedus.core.lazy import lazily

if TYPE_CHECKING:
    from foedus.core.time.cost import Always
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

__getattr__, __dir__ = lazily(
    __name__,
    {
        "foedus.core.time.cost": "Always",
        "foedus.network.availability": "DayNight OnOff",
        "foedus.network.model": "CostModel Device Exponential Jitter Links LogNormal Pareto ShiftedExponential Steady",
        "foedus.network.presets": "IDEAL LAN MOBILE PRESETS WAN by_name",
        "foedus.network.units": "gbit mbit milliseconds",
    },
    modules="theory",
)
