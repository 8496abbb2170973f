"""A node process from inside: what a module that ``ProcessGroup`` starts begins with."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from foedus.core.data import FederatedDataset
from foedus.core.model import Model
from foedus.core.update import Tensors
from foedus.runtimes.channel import Channel, Closed
from foedus.runtimes.launch import attach, receive_setup
from foedus.runtimes.processes.wire.heartbeat import IDLE, beat_for_ever


class NodeContext:
    """This process as one of the group: its rank, what it was given, and the channel to the parent."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.setup: dict[str, Any]
        self.model: Model
        self.data: FederatedDataset
        self.setup, self.model, self.data, self._page = receive_setup(channel, self._started)

    def _started(self, setup: dict[str, Any], page: Tensors) -> None:
        self.rank: int = setup["rank"]
        self._doing = page["doing"].numpy()
        beat_for_ever(page, self.rank)

    def doing(self, node: int = IDLE) -> None:
        """Note for the parent whose job is computed from now on. It costs no message."""
        self._doing[self.rank] = node


def run(fd: int, serve: Callable[[NodeContext], None]) -> NoReturn:
    """Be a node process: tell the parent that this one is ready, serve until that returns or the parent is gone, end.

    A module for ``ProcessGroup`` ends with ``if __name__ == "__main__": run(int(sys.argv[1]), serve)``. An error ends
    the process with status 1, after its traceback.
    """
    status = 0
    channel = attach(fd)
    try:
        member = NodeContext(channel)
        channel.send({"ready": True})
        serve(member)
    except Closed:
        pass
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    os._exit(status)  # nothing to flush, and torch takes its time to unload
