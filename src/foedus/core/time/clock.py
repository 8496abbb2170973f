"""Clocks: virtual time that jumps from event to event, and real time.

The virtual clock drives asyncio itself. Its loop's selector does not sleep until a socket is ready: when every
coroutine waits, it advances the clock to the next event and runs it. So a program is an ordinary coroutine, a
simulated hour takes no time, and the order of events is fixed: by time, then node, then sequence.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import selectors
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from foedus.core.code_line import of_others, place
from foedus.core.errors import Deadlock, ProgramError

T = TypeVar("T")

AFTER_ALL = 2**62
"""The priority of what happens after everything else that is due at its time: above any node's id."""


def settle(future: asyncio.Future[None]) -> None:
    """Let whoever awaits the future go on."""
    if not future.done():
        future.set_result(None)


def _nothing() -> None:
    pass


class Event:
    """Something due at a time; ``cancel`` makes it not happen."""

    __slots__ = ("cancelled", "fn", "when")

    def __init__(self, when: float, fn: Callable[[], None]) -> None:
        self.when, self.fn, self.cancelled = when, fn, False

    def cancel(self) -> None:
        """It will not happen. What it would have called is let go of at once, though the entry stays until its time."""
        self.cancelled, self.fn = True, _nothing


class Clock(Protocol):
    """Time as a runtime has it."""

    virtual: bool

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        ...

    def schedule(self, when: float, priority: float, fn: Callable[[], None]) -> Event:
        """Call ``fn`` at ``when``; events of one time happen by priority (a node's id), then in the order scheduled."""
        ...

    def restart(self, now: float) -> None:
        """Go on from the time of a checkpoint."""
        ...

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a program to its end."""
        ...


class VirtualClock:
    """Virtual time. ``advance`` jumps to the next event.

    >>> clock, seen = VirtualClock(), []
    >>> _ = clock.schedule(2.0, 0, lambda: seen.append(clock.now))
    >>> _ = clock.schedule(1.0, 5, lambda: seen.append(clock.now))
    >>> clock.advance(), clock.advance(), clock.advance(), seen
    (True, True, False, [1.0, 2.0])
    """

    virtual = True

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._heap: list[tuple[float, float, int, Event]] = []
        self._sequence = itertools.count()

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self._now

    def restart(self, now: float) -> None:
        """Set the time of a clock on which nothing is due: a run resumes at the time of its checkpoint."""
        assert not self._heap
        self._now = now

    def schedule(self, when: float, priority: float, fn: Callable[[], None]) -> Event:
        """Call ``fn`` at ``when``, or now if that has passed."""
        event = Event(max(when, self._now), fn)
        heapq.heappush(self._heap, (event.when, priority, next(self._sequence), event))
        return event

    def advance(self) -> bool:
        """Jump to the next event and run it; False if there is none."""
        while self._heap:
            when, _, _, event = heapq.heappop(self._heap)
            if not event.cancelled:
                self._now = when
                event.fn()
                return True
        return False

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a program to its end. Errors: ``Deadlock`` when every coroutine waits and nothing is due."""
        return _run(_VirtualLoop(self), main)


class RealClock:
    """The wall clock. Events are timers of ``loop``, the asyncio loop that programs run in."""

    virtual = False

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._start = self.loop.time()

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self.loop.time() - self._start

    def restart(self, now: float) -> None:
        """Go on counting from the time of a checkpoint."""
        self._start = self.loop.time() - now

    def schedule(self, when: float, priority: float, fn: Callable[[], None]) -> Event:
        """Call ``fn`` at ``when``, or soon if that has passed."""
        event = Event(when, fn)
        self.loop.call_at(self._start + when, lambda: event.fn())  # looked up then, so that cancel lets go of it
        return event

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a program to its end."""
        return _run(self.loop, main)


def _run(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T]) -> T:
    # A notebook already runs a loop in this thread. Ours is another loop that never hands control back to it before
    # it ends, so the outer one is put aside for the while; this is what the function is documented for.
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        ending = False
        raised: list[BaseException] = []
        task = loop.create_task(main)

        def complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            if ending:  # what ends the run is raised here; asyncio need not say it again for every task it ends
                return
            error = context.get("exception")
            if "handle" in context and error is not None:
                # Somebody waits for what this callback did not do: the run would never end.
                raised.append(error)
                task.cancel()
            else:
                loop.default_exception_handler(context)

        loop.set_exception_handler(complain)
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            if raised:
                raise raised[0] from None
            raise
        finally:
            ending = True
            _cancel_all(loop)
    finally:
        loop.close()
        asyncio._set_running_loop(outer)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for t in tasks:
        t.cancel()
    # Where Ctrl-C came between the program's end and what asyncio does then, that stops whatever the loop runs next.
    loop.stop()
    loop.run_forever()
    if tasks:
        with contextlib.suppress(Deadlock):  # a handler that waits for what will not come is left where it is
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())


class _VirtualSelector(selectors.SelectSelector):
    """A selector that advances the clock instead of sleeping."""

    loop: _VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return []
        advanced = False
        # Events that wake nobody, such as a message that leaves a node, need no turn of the loop each.
        while not self.loop.ready() and self.loop.clock.advance():
            advanced = True
        if advanced:
            return []
        waiting = sorted(set(filter(None, (where(t) for t in asyncio.all_tasks(self.loop)))))
        raise Deadlock(
            "every coroutine waits and nothing is due: a deadlock. Waiting at: "
            + ("; ".join(waiting[:8]) or "nowhere known")
        )


class _VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio on virtual time. What would make the order of events depend on anything else is refused."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        selector = _VirtualSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.clock.now

    def ready(self) -> bool:
        """Whether a coroutine can go on."""
        return bool(self._ready)  # type: ignore[attr-defined]

    def call_at(self, when: float, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        raise ProgramError(
            "a program in simulation cannot wait on asyncio's timers (sleep, timeout, wait_for): "
            "use await fed.sleep(seconds)"
        )

    def call_later(self, delay: float, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return self.call_at(delay)

    def run_in_executor(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        raise ProgramError(
            "a program in simulation cannot use threads (to_thread, run_in_executor): give the work to a node as a job"
        )

    def create_future(self) -> asyncio.Future[Any]:
        # asyncio.wait answers with sets, and as_completed starts what it is given in the order of a set.
        frame = sys._getframe(1)
        for _ in range(2):
            if frame.f_code.co_filename == asyncio.tasks.__file__ and frame.f_code.co_name in (
                "_wait",
                "_wait_for_one",
            ):
                raise ProgramError(
                    "a program in simulation cannot use asyncio.wait or as_completed, whose order is that of a set: "
                    "use asyncio.gather, a TaskGroup or fed.stream"
                )
            if frame.f_back is None:
                break
            frame = frame.f_back
        return super().create_future()


def where(task: asyncio.Task[Any]) -> str | None:
    """The line a task waits at: the innermost that is not the core's, for the fault is likely there."""
    coroutine: Any = task.get_coro()
    found = None
    while getattr(coroutine, "cr_frame", None) is not None:
        frame = coroutine.cr_frame
        if found is None or of_others(frame.f_code.co_filename):
            found = place(frame.f_code.co_filename, frame.f_lineno)
        coroutine = coroutine.cr_await
    return found
