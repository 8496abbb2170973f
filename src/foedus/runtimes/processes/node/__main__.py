"""A node's process: ``python -m foedus.runtimes.processes.node FD``. Is what its parent asks it to be, run by run."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from foedus.runtimes.processes.node.context import Ended, NodeContext, run
from foedus.runtimes.processes.node.joint import join
from foedus.runtimes.processes.node.peer import be_peer
from foedus.runtimes.processes.node.worker import work
from foedus.runtimes.processes.wire import messages

ROLES: dict[type[messages.Role], Any] = {messages.Work: work, messages.Join: join, messages.BePeer: be_peer}


def serve(context: NodeContext) -> None:
    """Take a role, and the next when that run has ended."""
    while True:
        with contextlib.suppress(Ended):
            role, tree = context.hear()
            assert isinstance(role, messages.Role)
            context.run = role.run
            ROLES[type(role)](context, role, tree)


if __name__ == "__main__":
    run(int(sys.argv[1]), serve)
