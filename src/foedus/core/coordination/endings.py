"""How a run ends that cannot go on: what is said, and which model is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foedus.core.errors import Diverged, NodeFailed
from foedus.core.types.update import Failed, Lost, Refused

if TYPE_CHECKING:
    from foedus.core.coordination.session import Session


def diverged(s: Session, failed: Failed) -> Diverged:
    """The error for an update that is not finite, with advice."""
    return Diverged(
        f"the run diverged in round {s.round + 1}: node {failed.node}'s {failed.reason}; the last good model, of round "
        f"{s.round}, is kept. Lower the learning rate (lr), clip updates (Clip), or look at that node's data; a "
        'program that takes failure="skip" (or until=All("skip")) goes on without such a node'
    )


def node_failed(s: Session, failed: Failed | Refused | Lost) -> NodeFailed:
    """The error for a job that raised."""
    error = NodeFailed(
        f"node {failed.node} failed in round {s.round + 1}: {failed.reason}; the last good model, of round {s.round}, "
        "is kept"
    )
    error.log = failed.log if isinstance(failed, Failed) else ""
    return error
