"""A node's process from inside: whose it is, what it was given, and its talk with the parent."""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from foedus.core.data import FederatedDataset
from foedus.core.model import Model
from foedus.core.update import Tensors
from foedus.runtimes.channel import Channel, Closed
from foedus.runtimes.launch import attach, receive_setup
from foedus.runtimes.processes.wire import messages
from foedus.runtimes.processes.wire.heartbeat import IDLE, beat_for_ever
from foedus.runtimes.processes.wire.rendezvous import NotConnected, connect


class Ended(Exception):
    """The parent says that the run is over."""


class NodeContext:
    """This process as one of its group: its node's id, its model and data, and the channel to the parent."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.setup: dict[str, Any]
        self.model: Model
        self.data: FederatedDataset
        self.run = 0
        """The number of the run that it takes part in."""
        self.setup, self.model, self.data, self._board = receive_setup(channel, self._started)

    def _started(self, setup: dict[str, Any], board: Tensors) -> None:
        self.node: int = setup["node"]
        self._doing = board["doing"].numpy()
        beat_for_ever(board, self.node)

    def doing(self, node: int = IDLE) -> None:
        """Note for the parent whose job is computed from now on. It costs no message."""
        self._doing[self.node] = node

    def tell(self, message: messages.Message, tree: Any = None, wait: bool = True) -> None:
        """Send the parent a message of this run. Errors: ``Closed``."""
        message.run = self.run
        self.channel.send(message, tree, wait=wait)

    def hear(self) -> tuple[messages.Message, Any]:
        """The parent's next message, and its tree. Errors: ``Ended``, and ``Closed`` when the parent is gone."""
        plain, tree, _ = self.channel.receive()
        message = messages.read(plain)
        if isinstance(message, messages.End):
            raise Ended
        return message, tree

    def gather(self) -> tuple[dict[int, socket.socket], messages.Go]:
        """Be connected with other nodes, by their ids, as often as the parent says so, until it says go.

        Errors: as ``hear``.
        """
        socks: dict[int, socket.socket] = {}
        while True:
            plain, _, _ = self.channel.receive()
            if "rendezvous" not in plain:
                message = messages.read(plain)
                if isinstance(message, messages.Go):
                    return socks, message
                raise Ended
            for sock in socks.values():
                sock.close()
            socks = {}
            with contextlib.suppress(NotConnected):  # somebody is lost: those that are left are invited anew
                socks = connect(self.channel, plain)
                self.tell(messages.Ready())


def run(fd: int, serve: Callable[[NodeContext], None]) -> NoReturn:
    """Be a node process: tell the parent that this one is ready, serve until that returns or the parent is gone, end.

    A module for ``ProcessGroup`` ends with ``if __name__ == "__main__": run(int(sys.argv[1]), serve)``. An error ends
    the process with status 1, after its traceback.
    """
    status = 0
    channel = attach(fd)
    try:
        context = NodeContext(channel)
        channel.send({"ready": True})
        serve(context)
    except Closed:
        pass
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    os._exit(status)  # nothing to flush, and torch takes its time to unload
