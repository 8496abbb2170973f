"""Networks with names. Figures and their sources stand in docs/network.md; round numbers, meant to be replaced."""

from __future__ import annotations

import math

from foedus.core.errors import BadInput, did_you_mean
from foedus.network.model import CostModel, Device, Links, LogNormal, ShiftedExponential
from foedus.network.units import gbit, mbit, milliseconds

_CORE = 10e9
"""Floating-point operations per second that one core sustains while it trains a small model."""

IDEAL = CostModel(
    links=Links(latency=0.0, up=math.inf, down=math.inf),
    device=Device(flops_per_second=_CORE),
)
"""Messages are free: what is left is the computation. Devices as in ``LAN``."""

LAN = CostModel(
    links=Links(latency=milliseconds(0.05), up=gbit(10), down=gbit(10)),
    device=Device(flops_per_second=_CORE),
    server_up=gbit(10),
    server_down=gbit(10),
)
"""Equal machines in one room on 10 Gbit/s Ethernet, the server on a port like theirs."""

WAN = CostModel(
    links=Links(latency=milliseconds(20), up=mbit(50), down=mbit(100), spread=0.5),
    device=Device(flops_per_second=_CORE, spread=0.3, jitter=LogNormal(0.1)),
    server_up=gbit(1),
    server_down=gbit(1),
)
"""Hospitals or banks of one continent on business broadband, the server on 1 Gbit/s."""

MOBILE = CostModel(
    links=Links(latency=milliseconds(25), up=mbit(10), down=mbit(60), spread=0.8),
    device=Device(flops_per_second=_CORE / 10, spread=0.6, jitter=ShiftedExponential(0.5)),
    server_up=gbit(10),
    server_down=gbit(10),
)
"""Phones on 4G and 5G: slow upwards, ten times slower and far more unequal than servers."""

PRESETS = {"ideal": IDEAL, "lan": LAN, "wan": WAN, "mobile": MOBILE}
"""The presets by name."""


def by_name(name: str) -> CostModel:
    """The preset with this name, in any case of letters. Errors: ``BadInput`` with the closest name.

    >>> by_name("wan") == WAN
    True
    """
    preset = PRESETS.get(name.lower()) if isinstance(name, str) else None
    if preset is None:
        raise BadInput(
            f"unknown network {name!r}: {did_you_mean(str(name), PRESETS)}The presets are {', '.join(PRESETS)}"
        )
    return preset
