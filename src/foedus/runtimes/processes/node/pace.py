"""Pace: a node's process that takes longer than it must, so that real processes play slow devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from foedus.core.time.delivery import speed_keys
from foedus.core.types.job import Work
from foedus.network import Device
from foedus.runtimes.launch import load
from foedus.runtimes.processes.node.context import NodeContext


@dataclass(frozen=True)
class Pace:
    """How long a node's jobs take. The rest of the time its process sleeps.

    ``slowdown``  by what factor a node's jobs take longer than they did, or than they do on the device.
    ``device``    a job takes at least what it takes on this device. The draws are those of a simulation with this
                  device and this seed: job by job it has the same seconds.
    ``flops``     of one forward pass of one row, asked only if there is a device.
    """

    slowdown: float = 1.0
    device: Device | None = None
    seed: int = 0
    flops: Callable[[], float] = float

    def rest(self, node: int, count: int, work: Work, seconds: float) -> float:
        """Seconds still to sleep after the node's ``count``-th job has taken so many."""
        due = seconds
        if self.device is not None:
            due = max(due, self.device.seconds(work, self.flops(), *speed_keys(self.seed, node, count)))
        return due * self.slowdown - seconds


def pace(context: NodeContext) -> Pace:
    """The pace of this process, by its setup."""
    setup = context.setup
    device = None if setup["device"] is None else load(context.channel, "the device", setup["device"])

    def flops() -> float:  # counted where a row is
        return context.model.flops(context.site.data.rows(context.node).batch(torch.tensor([0]))[0])

    return Pace(setup["slowdown"], device, setup["seed"], flops)
