"""A worker process: ``python -m foedus.runtimes.simulation.worker FD``. Serves blocks until its parent is gone."""

from __future__ import annotations

import contextlib
import os
import sys

from foedus.core.coordination.executor import Plan, Task
from foedus.core.coordination.site import Setup, Site
from foedus.runtimes.channel import Closed
from foedus.runtimes.launch import attach, load, receive_setup
from foedus.runtimes.results import pack
from foedus.runtimes.shared_channel import SharedChannel


def main(fd: int) -> None:
    """Serve the parent at the other end of this socket."""
    channel = attach(fd)
    with contextlib.suppress(Closed):
        _serve(channel)
    os._exit(0)  # nothing to flush, and torch takes its time to unload


def _serve(channel: SharedChannel) -> None:
    setup, model, data, page = receive_setup(channel)
    policy = load(channel, "the policy", setup["policy"])
    site = Site(Setup(model, data, setup["seed"], policy), setup["real_time"])
    status, me = page["node"].numpy(), setup["worker"]
    plans: dict[int, Plan] = {}

    def starting(node: int) -> None:
        status[me] = node

    channel.send({"ready": True})
    while True:
        message, tensors, args = channel.receive()
        if "plan" in message:
            plans[message["id"]] = load(channel, "a job", message["plan"])
            continue
        if "prepare" in message:
            site.prepare(load(channel, "the data", message["prepare"]))
            continue
        states, own = tensors or ({}, {})
        blocks = [
            [Task(node, count, states.get(node, {}), own.get(node, {})) for node, count in tasks]
            for tasks in message["blocks"]
        ]
        result = site.run(plans[message["id"]], args, blocks, starting)
        status[me] = setup["idle"]
        del args, states, own, tensors, blocks
        outcomes, answers = pack(result)
        channel.send({"ticket": message["ticket"], "outcomes": outcomes}, answers)


if __name__ == "__main__":
    main(int(sys.argv[1]))
