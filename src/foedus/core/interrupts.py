"""Interrupts: when Ctrl-C is heard. Once, however often it is pressed, and never in the middle of a commit or of a
message.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from types import FrameType
from typing import Any

IMPATIENT = 1.0
"""Seconds after which Ctrl-C is heard again: it may have come to where Python cannot raise, or its end takes long."""

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Those whose handlers may raise. SIGINT is the first to be held back and the last to be let go: it comes by hand."""


@contextmanager
def heard_once() -> Iterator[None]:
    """Meanwhile Ctrl-C pressed several times in a row is one ``KeyboardInterrupt``.

    What it makes end has things to write down, and a second one would end that. After ``IMPATIENT`` seconds it is heard
    again. In a thread other than the main one, which hears no signals, nothing is done.
    """
    before = signal.getsignal(signal.SIGINT)
    if not in_main_thread() or not callable(before):
        yield
        return
    last: float | None = None

    def hear(number: int, frame: FrameType | None) -> Any:
        nonlocal last
        if last is not None and time.monotonic() - last <= IMPATIENT:
            return
        last = time.monotonic()
        # Also where it was to be heard later, and that takes longer than anybody waits for.
        if unbroken.late is not None or not (unbroken.under_way or _within_a_loops_own_step(frame)):
            unbroken.late = None
            before(number, frame)
            return
        unbroken.late = lambda: before(number, None)
        loop = _running_loop()
        if loop is not None:
            loop.call_soon_threadsafe(unbroken.hear_late)

    try:
        signal.signal(signal.SIGINT, hear)
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is hear:  # else somebody has changed it meanwhile, for good
            signal.signal(signal.SIGINT, before)
        unbroken.hear_late()  # the loop that was to say it has ended first


class unbroken(ContextDecorator):
    """A step that takes no time, and that Ctrl-C is not to leave half done: it is heard when the step is over.

    Without the system calls of ``held_back``, so that it can stand around every message. It knows of the Ctrl-C that
    ``heard_once`` hears, and only in the main thread; steps may be within steps.
    """

    under_way = 0
    late: Callable[[], Any] | None = None
    """What is to be done when the outermost step is over, or the loop's."""

    @staticmethod
    def hear_late() -> None:
        """Do what was to be done later."""
        if unbroken.late is not None and not unbroken.under_way:
            late, unbroken.late = unbroken.late, None
            late()

    def __enter__(self) -> None:
        if in_main_thread():
            unbroken.under_way += 1

    def __exit__(self, *_: object) -> None:
        if in_main_thread():
            unbroken.under_way -= 1
            self.hear_late()


def _within_a_loops_own_step(frame: FrameType | None) -> bool:
    """Whether Ctrl-C came in the middle of asyncio's own code, in a loop that runs.

    What a loop has taken from its queue and not begun would never be done, and whoever waits for it wait for ever, also
    to be cancelled. In a callback of ours, and in a coroutine, an error is what asyncio is made for.
    """
    if _running_loop() is None:
        return False
    while frame is not None:
        module = frame.f_globals.get("__name__", "").partition(".")[0]
        if module not in _HELPERS:
            return bool(module == "asyncio")
        frame = frame.f_back
    return False


_HELPERS = ("selectors", "_weakrefset", "weakref", "contextlib", "enum", "signal", "socket")
"""What asyncio itself calls, of Python's library in Python."""


def _running_loop() -> Any:
    asyncio = sys.modules.get("asyncio")  # imported by whoever runs a loop
    return None if asyncio is None else asyncio._get_running_loop()


@contextmanager
def held_back() -> Iterator[None]:
    """Meanwhile no signal is heard: those that come are handled at the end, each once."""
    if not in_main_thread():
        yield
        return
    handlers = {s: h for s in _SIGNALS if callable(h := signal.getsignal(s))}
    came: list[int] = []
    try:
        for s in handlers:
            signal.signal(s, lambda number, frame: came.append(number))
        yield
    finally:
        for s in reversed(handlers):
            signal.signal(s, handlers[s])
    for number in dict.fromkeys(came):
        signal.raise_signal(number)


def in_main_thread() -> bool:
    """Whether this is the thread that hears signals."""
    return threading.current_thread() is threading.main_thread()
