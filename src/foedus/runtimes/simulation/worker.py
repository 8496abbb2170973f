"""A worker process: ``python -m foedus.runtimes.simulation.worker FD``. Serves blocks until its parent is gone."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
from typing import Any

import torch

from foedus.core.data import FederatedDataset
from foedus.core.execute import Outcome, Plan, Site, Task
from foedus.core.model import Model
from foedus.runtimes.channel import Channel, Closed
from foedus.runtimes.segments import SegmentPool


def main(fd: int) -> None:
    """Serve the parent at the other end of this socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    channel = Channel(socket.socket(fileno=fd), SegmentPool())
    with contextlib.suppress(Closed):
        _serve(channel)
    os._exit(0)  # nothing to flush, and torch takes its time to unload


def _serve(channel: Channel) -> None:
    setup, _, held = channel.receive()
    sys.path[:] = setup["sys_path"]
    # From the local parent that started this process, by its own cloudpickle; nothing else is ever unpickled.
    model: Model = _load(channel, "the model", setup["model"])
    examples = {k: _load(channel, "the data", v) for k, v in setup["examples"].items()}
    data = restore_data(setup["data"] | examples, held["tensors"])
    site = Site(model, data, setup["seed"])
    status, me = held["status"].numpy(), setup["worker"]
    plans: dict[int, Plan] = {}

    def starting(node: int) -> None:
        status[me] = node

    channel.send({"ready": True})
    while True:
        message, states, args = channel.receive()
        if "plan" in message:
            plans[message["id"]] = _load(channel, "a job", message["plan"])
            continue
        states = states or {}
        blocks = [[Task(node, count, states.get(node, {})) for node, count in tasks] for tasks in message["blocks"]]
        result = site.run(plans[message["id"]], args, blocks, starting)
        del args, states, blocks
        answer = {"ticket": message["ticket"], "outcomes": [_plain(o) for o in result.outcomes]}
        tensors = {
            "acc": result.acc,
            "states": {i: o.state for i, o in enumerate(result.outcomes) if o.state},
            "updates": {i: dict(o.update.parts) for i, o in enumerate(result.outcomes) if o.update is not None},
        }
        channel.send(answer, tensors)


def _plain(o: Outcome) -> Any:
    failed, update = o.failed, o.update
    return (
        (o.node, o.seconds, o.weight, o.metrics),
        None if failed is None else (failed.node, failed.reason, failed.log, failed.nonfinite),
        None if update is None else (update.weight, update.metrics, update.node, update.staleness, update.summed),
    )


def _load(channel: Channel, what: str, data: bytes) -> Any:
    try:
        return pickle.loads(data)
    except Exception as e:
        channel.send({"cannot": f"{what} ({type(e).__name__}: {e})"})
        raise Closed from e


def restore_data(plain: dict[str, Any], tensors: dict[str, torch.Tensor]) -> FederatedDataset:
    """The data set, over tensors in shared memory. It was checked by the parent."""
    data = FederatedDataset.__new__(FederatedDataset)
    data.__dict__.update(plain)
    data.use(tensors)
    return data


if __name__ == "__main__":
    main(int(sys.argv[1]))
