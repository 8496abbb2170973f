"""Programs: of which kind one is, and how it is run where it is."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Coroutine
from typing import Any

from foedus.core.coordination.federation import Federation
from foedus.core.coordination.mistakes import follow
from foedus.core.coordination.peer import Peer
from foedus.core.coordination.session import Session
from foedus.core.coordination.transport import run_peers
from foedus.core.errors import ProgramError


def takes_peer(program: Any) -> bool:
    """Whether a program runs at every node (``__call__(self, peer: Peer)``) or once, at the coordinator."""
    call = program if inspect.isfunction(program) else type(program).__call__
    try:
        hints = typing.get_type_hints(call)
    except Exception:  # names that only type checkers know
        hints = dict(getattr(call, "__annotations__", {}))
    hints.pop("return", None)
    kind = next(iter(hints.values()), None)
    return kind is Peer or (isinstance(kind, str) and kind.split(".")[-1] == "Peer")


async def coordinate(program: Any, session: Session) -> Any:
    """Run a program that coordinates nodes. Errors: ``ProgramError`` if it ends without a commit."""
    returned = await follow(program, Federation(session))
    if not session.round:
        raise ProgramError("the program ended without fed.commit(state): nothing of it would be kept")
    return returned


def here(program: Any, session: Session) -> Coroutine[Any, Any, Any]:
    """The coroutine that runs a program in this process, for the session's clock to run."""
    return run_peers(program, session) if takes_peer(program) else coordinate(program, session)
