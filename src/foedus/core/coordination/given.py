"""Given: whether what a program hands to its view is of the kind that is expected, before it goes anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from foedus.core.code_line import calling_line
from foedus.core.errors import ProgramError
from foedus.core.types.state import State


def check_job(job: Any) -> None:
    """Errors: ``ProgramError`` for what is no job, such as its class."""
    _made(job, "a job")
    if not callable(job) or not callable(getattr(job, "parts", None)):
        raise _wrong(f"a job is a frozen dataclass such as LocalSGD(lr=0.1), got a {type(job).__name__}")


def check_aggregator(aggregator: Any) -> None:
    """Errors: ``ProgramError`` for the class of an aggregator."""
    _made(aggregator, "an aggregator")


def check_args(args: Any) -> None:
    """Errors: ``ProgramError`` for arguments that are no named tensors."""
    if not isinstance(args, Mapping):
        raise _wrong(f'a job is given named tensors, such as {{"w": state.w}}; got a {type(args).__name__}')
    for name, value in args.items():
        if not isinstance(value, Tensor):
            raise _wrong(f"a job is given tensors, but its argument {name!r} is a {type(value).__name__}")


def check_nodes(nodes: Any) -> None:
    """Errors: ``ProgramError`` for nodes that are no list of ids."""
    if not isinstance(nodes, Iterable):
        raise _wrong(f"nodes are a list of ids, such as [0, 2], or what fed.sample gave; got {nodes!r}")


def check_state(state: Any, method: str) -> None:
    """Errors: ``ProgramError`` for what is committed and no state."""
    if not isinstance(state, State):
        raise _wrong(f"{method} takes a State, such as state.replace(w=w); got a {type(state).__name__}")


def first_state(init: Callable[[Tensor], State], w_D: Tensor) -> State:
    """What a program begins with. Errors: ``ProgramError`` where that is no state."""
    state = init(w_D) if callable(init) else init
    if not callable(init) or not isinstance(state, State):
        raise _wrong(
            "begin needs a function that returns a State, such as lambda w: State(w=w); got "
            f"{'one that returns ' if callable(init) else ''}a {type(state).__name__}"
        )
    return state


def _made(thing: Any, kind: str) -> None:
    if isinstance(thing, type):
        raise _wrong(f"{kind} is wanted, and {thing.__name__} is the class of one: write {thing.__name__}(...)")


def _wrong(what: str) -> ProgramError:
    return ProgramError(f"{calling_line()}: {what}")
