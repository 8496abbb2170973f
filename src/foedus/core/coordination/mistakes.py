"""Mistakes that are easily made in writing a program: a call that is not awaited, one that is and need not be.

asyncio says of them what happened ("'coroutine' object is not subscriptable"), or nothing at all: a ``fed.commit(s)``
that nobody awaits is never made. Here they are told as what to write, with the line.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from foedus.core.code_line import place, raising_line
from foedus.core.errors import ProgramError

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class _Call:
    """A coroutine that a program was given, what it called for it, and where."""

    coroutine: Coroutine[Any, Any, Any]
    method: str
    file: str
    line: int

    @property
    def begun(self) -> bool:
        """Whether it is, or was, awaited; a task that has yet to begin it counts."""
        if inspect.getcoroutinestate(self.coroutine) != inspect.CORO_CREATED:
            return True
        return any(t.get_coro() is self.coroutine for t in asyncio.all_tasks())


@dataclass
class Calls:
    """The calls that a program made of what it sees, as far as it may have forgotten to await them.

    ``view``  what programs call it: ``"fed"`` or ``"peer"``.
    """

    view: str
    _made: deque[_Call] = field(default_factory=deque)

    def add(self, call: _Call) -> None:
        """Remember one more, and forget those before it that were begun."""
        while self._made and inspect.getcoroutinestate(self._made[0].coroutine) != inspect.CORO_CREATED:
            self._made.popleft()
        self._made.append(call)

    def check(self) -> None:
        """Errors: ``ProgramError`` that names the first call which was made and not awaited."""
        error = self.forgotten()
        if error is not None:
            raise error

    def forgotten(self) -> ProgramError | None:
        """The error for what was made and not awaited."""
        left = [call for call in self._made if not call.begun]
        self._made.clear()
        for call in left:
            call.coroutine.close()  # else Python warns of each, some time later
        if not left:
            return None
        first, name = left[0], f"{self.view}.{left[0].method}(...)"
        more = "" if len(left) == 1 else f" (and {len(left) - 1} more calls like it)"
        return ProgramError(
            f"{place(first.file, first.line)}: {name} was called and not awaited, so that it was not done{more}: "
            f"write await {name}"
        )


class View(Protocol):
    """What a program sees: a ``Federation`` or a ``Peer``."""

    calls: Calls


V = TypeVar("V", bound=View)


def awaited(
    method: Callable[Concatenate[V, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[V, P], Coroutine[Any, Any, T]]:
    """An ``async`` method of a view, whose calls are looked at: they are to be awaited before the next commit."""

    @functools.wraps(method)
    def called(view: V, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        coroutine = method(view, *args, **kwargs)
        try:
            frame = sys._getframe(1)
            view.calls.add(_Call(coroutine, method.__name__, frame.f_code.co_filename, frame.f_lineno))
        except BaseException:  # Ctrl-C
            coroutine.close()
            raise
        return coroutine

    return called  # type: ignore[return-value]  # wraps() hides that it takes what the method takes


async def follow(program: Any, view: View) -> Any:
    """Run a program to its end: what it returns. Errors: its own, and ``ProgramError`` for how it is written."""
    name = getattr(program, "__name__", None) or f"{type(program).__name__}.__call__"
    try:
        running = program(view)
        if inspect.isasyncgen(running):
            raise ProgramError(
                f"{name} has a yield, which makes a generator of it: a program returns its model, and tells of its "
                f"steps by await {view.calls.view}.commit(state)"
            )
        if not isinstance(running, Awaitable):
            view.calls.forgotten()
            raise ProgramError(f"{name} is not async: write async def, and await what {view.calls.view}'s methods give")
        returned = await running
    except (TypeError, AttributeError, ProgramError) as e:
        told = _told(e, view.calls)
        if told is None:
            view.calls.forgotten()
            raise
        raise told from e
    except (Exception, KeyboardInterrupt, asyncio.CancelledError):
        view.calls.forgotten()  # what was called and yet to be awaited when the run ended is nobody's mistake
        raise
    view.calls.check()
    return returned


_NOT_AWAITED = re.compile(r"\bcoroutine\b")
_ADVICE = (
    (
        re.compile(r"object (?P<kind>\w+) can't be used in 'await'|'(?P<other>\w+)' object can't be awaited"),
        "what is awaited here is there at once: leave out the await",
    ),
    (re.compile(r"'async for' requires"), "what is counted here is there at once: write for, without async"),
    (
        re.compile(r"'Stream' object does not support the context manager"),
        "a stream takes time to end: write async with fed.stream(...) as updates",
    ),
    (re.compile(r"'Stream' object is not iterable"), "updates are waited for: write async for update in updates"),
)
"""What Python says of an await or async too many or too few, and what to do."""


def _told(e: Exception, calls: Calls) -> ProgramError | None:
    """What an error of Python's own means, if it comes of how a program awaits; None if it does not."""
    if _NOT_AWAITED.search(str(e)):
        return calls.forgotten()
    if isinstance(e, ProgramError):
        return None
    for said, advice in _ADVICE:
        if said.search(str(e)):
            return ProgramError(f"{raising_line(e.__traceback__)}: {advice} ({e})")
    return None
