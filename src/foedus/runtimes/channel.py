"""A channel: one end of a connection that carries frames between processes, whichever way their tensors take."""

from __future__ import annotations

import socket
import time
from collections import deque
from typing import Any

from foedus.runtimes.meter import Meter

Frame = tuple[Any, Any, Any]
"""``(plain, tree, placed tree or None)``: plain values, a tree of tensors, and tensors that were placed before."""


class Closed(Exception):
    """The other side is gone."""


class Counted:
    """Tensors that several channels refer to, to be sent to several processes. Let go of when nobody does any more."""

    def __init__(self) -> None:
        self._users = 1

    def tree(self) -> Any:
        """The tensors, to be read here."""
        raise NotImplementedError

    def retain(self) -> None:
        """One more user."""
        self._users += 1

    def release(self) -> None:
        """One user less."""
        self._users -= 1
        if self._users == 0:
            self._let_go()

    def _let_go(self) -> None:
        raise NotImplementedError


class Channel:
    """One end of a connection. Not thread-safe. The socket becomes this object's.

    ``meter``  counts frames, seconds, and bytes: those of tensors for every frame that refers to them.
    """

    def __init__(self, sock: socket.socket, meter: Meter | None = None) -> None:
        self._sock = sock
        self.meter = Meter() if meter is None else meter
        self._out: deque[Any] = deque()

    def fileno(self) -> int:
        """For poll."""
        return self._sock.fileno()

    def send(self, plain: Any, tree: Any = None, placed: Any = None, wait: bool = False, fixed: bool = False) -> None:
        """Send plain values (numbers, strings, lists, dicts), a tree, and a reference to tensors placed before.

        ``wait``: until the frame has left; without it, ``flush`` may have to go on. ``fixed``: nobody changes the
        tree's tensors. Errors: ``Closed``.
        """
        raise NotImplementedError

    @property
    def pending(self) -> bool:
        """Whether something has not left yet."""
        return bool(self._out)

    def flush(self) -> bool:
        """Write what the socket takes now; whether that was all. Errors: ``Closed``."""
        return self._write(wait=False)

    def drain(self) -> None:
        """Wait until all has left. Errors: ``Closed``."""
        raise NotImplementedError

    def _write(self, wait: bool) -> bool:
        started = time.perf_counter()
        try:
            while self._out:
                self._push(wait)
            return True
        except OSError as e:
            if isinstance(e, BlockingIOError) and not wait:
                return False
            # Also where the socket's own limit of time has passed.
            self._drop()
            raise Closed from e
        finally:
            self.meter.wire_s += time.perf_counter() - started

    def _push(self, wait: bool) -> None:
        """Write some of what is first in the queue."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Forget what has not left."""
        self._out.clear()

    def poll(self) -> list[Frame]:
        """The frames that have come by now. Errors: ``Closed``, when no frame is left."""
        raise NotImplementedError

    @property
    def unreturned(self) -> int:
        """Pieces of the other side's memory that are free again, which the next frame to it will say."""
        return 0

    def close(self) -> None:
        """Close the socket; what was queued is lost."""
        self._drop()
        self._sock.close()
