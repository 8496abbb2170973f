"""A node's process: ``python -m foedus.runtimes.processes.node FD``. Is what its parent asks it to be, until that ends.

A worker of a parameter server (``serve``), one of many that run the program together (``rank``), or a peer (``peer``).
"""

from __future__ import annotations

import sys

from foedus.runtimes.processes.node.context import NodeContext, run
from foedus.runtimes.processes.node.joint import rank
from foedus.runtimes.processes.node.peer import peer
from foedus.runtimes.processes.node.worker import serve


def be(member: NodeContext) -> None:
    """Take a role, and the next when that has ended."""
    while True:
        asked, tree, _ = member.channel.receive()
        ROLES[asked["role"]](member, asked, tree)


ROLES = {"serve": serve, "rank": rank, "peer": peer}


if __name__ == "__main__":
    run(int(sys.argv[1]), be)
