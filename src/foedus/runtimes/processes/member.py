"""A node process from inside: what a module that ``Crew`` starts begins with."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from foedus.core.execute import Site, Task
from foedus.core.model import Model
from foedus.core.roster import Roster
from foedus.core.update import Tensors
from foedus.runtimes.channel import Channel, Closed
from foedus.runtimes.launch import attach, load, receive_setup
from foedus.runtimes.processes.status import IDLE, beat_for_ever
from foedus.runtimes.results import pack


class Member:
    """This process as one of the crew: its rank, what it was given, and the channel to the parent."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.setup: dict[str, Any]
        self.model: Model
        self.setup, self.model, given, self._page = receive_setup(channel, self._started)
        self.data = given.site()
        self._roster = given.roster

    def _started(self, setup: dict[str, Any], page: Tensors) -> None:
        self.rank: int = setup["rank"]
        self._doing = page["doing"].numpy()
        beat_for_ever(page, self.rank)

    @property
    def roster(self) -> Roster:
        """What is known of all nodes, as the parent knows it."""
        assert self._roster is not None  # it is told before a program begins
        return self._roster

    def heard(self) -> tuple[dict[str, Any], Any]:
        """The parent's next message that is not beside the program, and its tree."""
        while True:
            message, tree, _ = self.channel.receive()
            if not self.beside(message, tree):
                return message, tree

    def beside(self, message: dict[str, Any], tree: Any) -> bool:
        """Do what a message asks for beside the program (see ``aside``); whether it did."""
        if "aside" in message:
            site = Site(self.model, self.data, self.setup["seed"])
            task = Task(message["node"], message["count"], tree["state"])
            result = site.run(load(self.channel, "a job", message["plan"]), tree["args"], [[task]])
            plain, tensors = pack(result)
            self.channel.send({"aside": message["aside"], "outcome": plain[0]}, tensors)
        elif "prepare" in message:
            self.data = load(self.channel, "the data", message["prepare"])(self.data)
        elif "roster" in message:
            self._roster = load(self.channel, "the roster", message["roster"])
        else:
            return False
        return True

    def doing(self, node: int = IDLE) -> None:
        """Note for the parent whose job is computed from now on. It costs no message."""
        self._doing[self.rank] = node


def run(fd: int, serve: Callable[[Member], None]) -> NoReturn:
    """Be a node process: tell the parent that this one is ready, serve until that returns or the parent is gone, end.

    A module for ``Crew`` ends with ``if __name__ == "__main__": run(int(sys.argv[1]), serve)``. An error ends the
    process with status 1, after its traceback.
    """
    status = 0
    channel = attach(fd)
    try:
        member = Member(channel)
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
