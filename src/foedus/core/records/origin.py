"""Origin: what a run's bits depend on besides its settings. The versions, the CPU and the data."""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from foedus.core.errors import BadInput
from foedus.core.version import __version__

if TYPE_CHECKING:
    from foedus.core.types.roster import Roster

BITS_DEPEND_ON = {"foedus": "foedus", "torch": "torch", "CPU": "the CPU", "data": "the data"}
"""What a resumed run must share with its first part to end with the same bits, and how it is called."""


class Circumstances(msgspec.Struct, frozen=True):
    """Under which circumstances a run was made, as its checkpoints tell it.

    ``origin``    as below; empty in a checkpoint that says nothing of it.
    ``settings``  what the run was given in Python, by name: fields of its program, its runtime, its loss.
    ``config``    the resolved file that it was made from (TOML), if there was one.
    ``notices``   what has been said of it, which a reader should know.
    """

    origin: dict[str, str] = {}
    settings: dict[str, str] = {}
    config: str | None = None
    notices: tuple[str, ...] = ()

    def changed(self, now: Circumstances) -> dict[str, tuple[str, str]]:
        """By the name of every setting that is not the same: what it was, and what it is now.

        By the files where both were made from one. What only one of them has counts where both are of one foedus:
        another may have settings that this one has not.
        """
        if self.config is not None and now.config is not None:
            was, is_ = _in_file(self.config), _in_file(now.config)
        else:
            was, is_ = self.settings, now.settings
        names = was.keys() & is_.keys()
        if was and is_ and self.origin.get("foedus") == now.origin.get("foedus"):
            names = was.keys() | is_.keys()
        changed: dict[str, tuple[str, str]] = {}
        for name in sorted(names):
            pair = was.get(name, "not given"), is_.get(name, "not given")
            above = {name[:at] for at, letter in enumerate(name) if letter == "."}
            if pair[0] != pair[1] and above.isdisjoint(changed):  # of another kind all settings are others
                changed[name] = pair
        return changed


def flat(table: Mapping[str, Any]) -> dict[str, str]:
    """The values of nested tables as text, by their keys joined by dots.

    >>> flat({"seed": 0, "program": {"fedavg": {"rounds": 3}}})
    {'seed': '0', 'program.fedavg.rounds': '3'}
    """
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            found |= {f"{key}.{k}": v for k, v in flat(value).items()}
        else:
            found[str(key)] = re.sub(r" at 0x[0-9a-fA-F]+", "", str(value))  # an address is another each time
    return found


def _in_file(text: str) -> dict[str, str]:
    try:
        return flat(tomllib.loads(text))
    except tomllib.TOMLDecodeError:  # who calls ``train`` may keep a file of another kind
        return {"config": text}


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


def check_origin(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """A run goes on elsewhere than it began. Errors: ``BadInput`` for other data, and for what a newer foedus wrote."""
    if _release(before.get("foedus", "")) > _release(now["foedus"]):
        raise BadInput(
            f"the checkpoint was written by foedus {before['foedus']}, which is newer than this one, {now['foedus']}: "
            f"update foedus, or {MEANT}"
        )
    if "data" in before and "data" in now and before["data"] != now["data"]:
        raise BadInput(
            f"the data (rows, labels, or whose they are) is not what the checkpoint was made with (fingerprint "
            f"{before['data']} then, {now['data']} now): give that back, or {MEANT}"
        )


MEANT = "say that it is meant: --accept-changes, or train(..., accept_changes=True)"
"""How to go on all the same."""


def _release(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


@cache
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
