"""Errors of a program that runs in a node's process, on their way to the parent."""

from __future__ import annotations

import traceback

from foedus.core.errors import BadInput, Diverged, FoedusError, NobodyInTime, NodeFailed, ProgramError
from foedus.core.session import Session

KNOWN: dict[str, type[FoedusError]] = {
    e.__name__: e for e in (BadInput, Diverged, NobodyInTime, NodeFailed, ProgramError)
}
"""Errors that the parent raises as they are."""


def told(error: BaseException) -> list[str]:
    """An error as the parent is told of it: its kind, its text, and the traceback behind it."""
    while isinstance(error, BaseExceptionGroup):  # from a program's TaskGroup
        error = error.exceptions[0]
    log = getattr(error, "log", "") or "".join(traceback.format_exception(error))
    return [type(error).__name__, str(error), log]


def retold(s: Session, rank: int, kind: str, text: str, log: str) -> FoedusError:
    """The error that the parent raises."""
    known = KNOWN.get(kind)
    error = NodeFailed("") if known is None else known(text)
    if known is None:
        error.args = (
            f"the program failed at node {rank} in round {s.round + 1}: {kind}: {text}; the last good model, of round "
            f"{s.round}, is kept",
        )
    if isinstance(error, NodeFailed):
        error.log = log
    return error
