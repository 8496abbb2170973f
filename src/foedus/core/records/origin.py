"""Origin: what a run's bits depend on besides its settings. The versions, the CPU and the data."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from foedus.core.version import __version__

if TYPE_CHECKING:
    from foedus.core.types.roster import Roster

if TYPE_CHECKING:
    pass


BITS_DEPEND_ON = {"torch": "torch", "CPU": "the CPU", "data": "the data"}
"""What a resumed run must share with its first part to end with the same bits, and how it is called."""


def origin(data: Roster | None = None) -> dict[str, str]:
    """Versions, CPU and system of this process, and the fingerprint of the data if that is given."""
    import numpy as np
    import torch

    found = {
        "foedus": __version__,
        "torch": str(torch.__version__),
        "NumPy": np.__version__,
        "Python": platform.python_version(),
        "CPU": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    return found if data is None else {**found, "data": data.fingerprint}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """A sentence for everything that the bits depend on and that is not as it was."""
    return [
        f"{name} is not as it was ({before[key]} then, {now[key]} now): "
        "the result may differ from that of a run that was never stopped"
        for key, name in BITS_DEPEND_ON.items()
        if key in before and key in now and before[key] != now[key]
    ]


@cache
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
