"""A node's process from inside: whose it is, what it was given, and its talk with the parent."""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from collections.abc import Callable
from functools import cached_property
from typing import Any, NoReturn

from foedus.core.coordination.executor import Task
from foedus.core.coordination.site import Setup, Site
from foedus.core.types.roster import Roster
from foedus.core.types.update import Tensors
from foedus.runtimes.channel import Closed
from foedus.runtimes.launch import attach, load, receive_setup
from foedus.runtimes.processes.wire import messages
from foedus.runtimes.processes.wire.heartbeat import beat_for_ever
from foedus.runtimes.results import pack
from foedus.runtimes.shared_channel import SharedChannel


class Ended(Exception):
    """The parent says that the run is over."""


class NodeContext:
    """This process as one of its group: its node's id, what it was given, and its talk with the parent."""

    def __init__(self, channel: SharedChannel) -> None:
        self.channel = channel
        self.setup: dict[str, Any]
        self.run = 0
        """The number of the run that it takes part in."""
        self.setup, self.model, self.data, self._board = receive_setup(channel, self._started)
        self._roster = self.data.roster

    @cached_property
    def site(self) -> Site:
        """Where tasks reach this node."""
        policy = load(self.channel, "the policy", self.setup["policy"])
        return Site(Setup(self.model, self.data, self.setup["seed"], policy), real_time=True)

    @property
    def roster(self) -> Roster:
        """What is known of all nodes, as the parent knows it."""
        assert self._roster is not None  # it is told before a program begins
        return self._roster

    def _started(self, setup: dict[str, Any], board: Tensors) -> None:
        self.node: int = setup["node"]
        beat_for_ever(board, self.node)

    def tell(self, message: messages.Message, tree: Any = None, wait: bool = True) -> None:
        """Send the parent a message of this run. Errors: ``Closed``."""
        message.run = self.run
        self.channel.send(message, tree, wait=wait)

    def hear(self) -> tuple[messages.Message, Any]:
        """The parent's next message that is for this run, and its tree. What is beside it is done.

        Errors: ``Ended``, and ``Closed`` when the parent is gone.
        """
        while (heard := self.hear_one()) is None:
            pass
        return heard

    def hear_one(self) -> tuple[messages.Message, Any] | None:
        """One message, or None for one that was beside the program. Errors: as ``hear``."""
        plain, tree, _ = self.channel.receive()
        message = messages.read(plain)
        if isinstance(message, messages.End):
            raise Ended
        return None if self.beside(message, tree) else (message, tree)

    def beside(self, message: messages.Message, tree: Any) -> bool:
        """Do what a message asks for beside the program; whether it did."""
        match message:
            case messages.Aside():
                plan = load(self.channel, "a job", message.pickled)
                outcome = self.site.run(plan, tree["args"], [[Task(self.node, message.count, tree["state"])]])
                [plain], tensors = pack(outcome)
                self.channel.send(messages.AsideAnswer(outcome=plain), tensors)
            case messages.Prepare():
                self.site.prepare(load(self.channel, "the data", message.pickled))
            case messages.Met():
                self._roster = load(self.channel, "the roster", message.pickled)
            case _:
                return False
        return True

    def gather(self) -> tuple[dict[int, socket.socket], messages.Go]:
        """Say that this node is ready, and be connected with other nodes, by their ids, until the parent says go.

        Errors: as ``hear``.
        """
        self.tell(messages.Ready())
        socks: dict[int, socket.socket] = {}
        with contextlib.ExitStack() as given:
            while True:
                message, _ = self.hear()
                match message:
                    case messages.Connection():
                        socks[message.to] = given.enter_context(self.channel.sockets.popleft())
                    case messages.Disconnect():
                        given.close()
                        socks = {}
                    case messages.Go():
                        given.pop_all()
                        return socks, message


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
