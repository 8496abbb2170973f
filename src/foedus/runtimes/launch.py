"""Starting processes of this machine, and giving them a model and a data set.

What the simulation's workers and the nodes that are processes have in common. How a process comes to be is in
``warm``. The parent's side comes first, the child's (``attach``, ``receive_setup``) after it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cloudpickle
import torch

from foedus.core.errors import BadInput
from foedus.core.types.model import Model
from foedus.core.types.roster import NodeData
from foedus.core.types.update import Tensors
from foedus.runtimes import warm
from foedus.runtimes.channel import Closed
from foedus.runtimes.segments import SegmentPool
from foedus.runtimes.shared_channel import Placed, SharedChannel


class Child:
    """A process that this one started, and the channel to it.

    With ``patience`` (seconds) the channel counts as closed when the child takes no message for so long, or stops in
    the middle of one. Such a channel is to be read only when there is something to read.
    """

    def __init__(self, module: str, segments: SegmentPool, patience: float | None = None) -> None:
        ours, theirs = socket.socketpair()
        try:
            if patience is not None:
                limit(ours, patience)
            with theirs:
                self.process = warm.start(module, theirs)
        except BaseException:
            ours.close()  # should there be a process already, then this is its end
            raise
        self.channel = SharedChannel(ours, segments)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.process.pid

    def kill(self) -> None:
        """End the process and whatever it started, even if it is stopped; ``reap`` waits for that."""
        if self.process.returncode is None:  # until it is waited for, nobody else can have its number
            self._kill_group()

    def reap(self) -> None:
        """``kill``, and wait for the end."""
        self.kill()
        self.process.wait()

    def how_it_ended(self) -> str:
        """As the end of a sentence: ``exited with status 3``, ``was killed by SIGKILL …``, ``was lost``.

        What it started is ended.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
        self._kill_group()  # while anybody is left in the group, its number is not given away either
        code = self.process.returncode
        if code is None:
            return "was lost"
        if code >= 0:
            return f"exited with status {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"was killed by {name}" + (" (by the system, if memory ran out)" if -code == signal.SIGKILL else "")

    def _kill_group(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)


def limit(sock: socket.socket, seconds: float) -> None:
    """Have a blocking socket's calls fail after so many seconds in which nothing could be sent or received."""
    timeval = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)


class Payload:
    """A model and a data set on their way to any number of processes, with tensors that all of them can write to.

    ``page`` are those tensors by name, in shared memory: this process reads what the children write. ``instead`` ends
    the error of what cannot be sent: ``use workers=1``. Errors: ``BadInput``.
    """

    def __init__(self, segments: SegmentPool, model: Model, data: NodeData, page: Tensors, instead: str) -> None:
        self._instead = instead
        own = data.tensors()
        self._plain: dict[str, Any] = {
            "model": self._pickled("the model", model),
            "data": self._pickled("the data", data.shell()),
        }
        self._placed = Placed(segments, {"tensors": dict(own), "page": dict(page)}, exactly=True)
        # From here on this process reads its data where its children do, so that there is one copy of it.
        views = self._placed.block.segment.tensors(self._placed.specs)
        placed = dict(zip(own, views[: len(own)], strict=True))
        self.page: Tensors = dict(zip(page, views[len(own) :], strict=True))
        data.use(placed)

    def _pickled(self, what: str, held: Any) -> bytes:
        return pickled(held, lambda e: f"{what} cannot be sent to worker processes ({e}); {self._instead}")

    def send(self, channel: SharedChannel, setup: dict[str, Any]) -> None:
        """Give it to one process, with plain values of its own. Errors: ``Closed``."""
        channel.send({**self._plain, "sys_path": list(sys.path), "setup": setup}, placed=self._placed)

    def refused(self, message: dict[str, Any]) -> BadInput:
        """The error for a child's message ``cannot``."""
        return refused(message, self._instead)


def refused(message: dict[str, Any], instead: str = "use the runtime Simulation") -> BadInput:
    """The error for a child's message ``cannot``: it could not load something. ``instead`` ends it."""
    return BadInput(
        f"worker processes cannot load {message['cannot']}: define it in the script itself or in a module that can be "
        f"imported, or {instead}"
    )


def pickled(held: Any, refusal: Callable[[Exception], str]) -> bytes:
    """An object as bytes for a child's ``load``. Errors: ``BadInput`` with that text."""
    try:
        return cloudpickle.dumps(held)  # type: ignore[no-any-return]
    except Exception as e:
        raise BadInput(refusal(e)) from e


def pickled_rows(how: Any) -> bytes:
    """What sites are to make of their rows, or a roster, as bytes. Errors: ``BadInput``."""
    return pickled(how, lambda e: f"{how!r} cannot be sent to other processes ({e}); use the runtime Simulation")


def pickled_program(program: Any) -> bytes:
    """A program as bytes, for processes that run it themselves. Errors: ``BadInput``."""
    return pickled(program, lambda e: f"{program!r} cannot be sent to node processes ({e}); use the runtime Simulation")


# -- in the child --------------------------------------------------------------------------------------------------


def attach(fd: int) -> SharedChannel:
    """The channel to the parent; from now on this process computes on one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    return SharedChannel(socket.socket(fileno=fd), SegmentPool())


Started = Callable[[dict[str, Any], Tensors], None]


def receive_setup(
    channel: SharedChannel, started: Started | None = None
) -> tuple[dict[str, Any], Model, NodeData, Tensors]:
    """``(setup, model, data, page)`` as ``Payload.send`` gave them; ``started(setup, page)`` is called before the model
    is loaded, which may take long. Errors: ``Closed`` if something cannot be loaded; the parent is told what.
    """
    message, _, held = channel.receive()
    sys.path[:] = message["sys_path"]
    if started is not None:
        started(message["setup"], held["page"])
    model: Model = load(channel, "the model", message["model"])
    data: NodeData = load(channel, "the data", message["data"])
    data.use(held["tensors"])  # it was checked by the parent
    return message["setup"], model, data, held["page"]


def load(channel: SharedChannel, what: str, data: bytes) -> Any:
    """An object from the parent that started this process, by its own cloudpickle; nothing else is ever unpickled."""
    try:
        return pickle.loads(data)
    except Exception as e:
        channel.send({"cannot": f"{what} ({type(e).__name__}: {e})"})
        raise Closed from e
