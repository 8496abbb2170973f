"""How a run ends that cannot go on: what is said, and which model is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foedus.core.errors import Diverged, NodeFailed
from foedus.core.types.data import called
from foedus.core.types.update import Failed, Lost, Refused

if TYPE_CHECKING:
    from foedus.core.coordination.session import Session


def kept(s: Session) -> str:
    """What is left of a run that ends early: there may be no commit yet."""
    if not s.round:
        return "there is no commit yet, so the model is what it was at the start"
    return f"the last good model, of round {s.round}, is kept"


def diverged(s: Session, failed: Failed) -> Diverged:
    """The error for an update that is not finite, with advice."""
    if failed.node < 0:
        of, hint = f"on {called(failed.node)}, {failed.reason}", "look at the data"
    else:
        of = f"{called(failed.node)}'s {failed.reason}"
        hint = (
            'look at that node\'s data; a program whose failure is "skip" (or that of its until) goes on without such '
            "a node"
        )
    return Diverged(
        f"the run diverged in round {s.round + 1}: {of}; {kept(s)}. Lower the learning rate (lr), clip updates (Clip), "
        f"or {hint}"
    )


def node_failed(s: Session, failed: Failed | Refused | Lost) -> NodeFailed:
    """The error for a job that raised."""
    who = called(failed.node) if failed.node >= 0 else f"the job on {called(failed.node)}"
    error = NodeFailed(f"{who} failed in round {s.round + 1}: {failed.reason}; {kept(s)}")
    error.log = failed.log if isinstance(failed, Failed) else ""
    return error
