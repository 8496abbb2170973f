"""A node's process: ``python -m foedus.runtimes.processes.node FD``. Is what its parent asks it to be, until that ends.

A worker of a parameter server (``serve``), one of many that run the program together (``rank``), or a peer (``peer``).
"""

from __future__ import annotations

import sys

from foedus.runtimes.processes.member import Member, run
from foedus.runtimes.processes.peer import peer
from foedus.runtimes.processes.rank import rank
from foedus.runtimes.processes.serve import serve


def be(member: Member) -> None:
    """Take a role, and the next when that has ended."""
    while True:
        asked, tree = member.heard()
        ROLES[asked["role"]](member, asked, tree)


ROLES = {"serve": serve, "rank": rank, "peer": peer}


if __name__ == "__main__":
    run(int(sys.argv[1]), be)
