"""Wires between processes: channels that carry messages through shared memory or over TCP sockets, by one word."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from foedus.core.trees import unflatten
from foedus.core.update import Tensors
from foedus.runtimes.channel import Channel, Placed
from foedus.runtimes.processes.wire.meter import Meter
from foedus.runtimes.processes.wire.socket_channel import Packed, SocketChannel
from foedus.runtimes.segments import SegmentPool


class Wire(Protocol):
    """What both channels have in common; see ``Channel`` and ``SocketChannel``."""

    meter: Any

    @property
    def pending(self) -> bool: ...
    @property
    def unreturned(self) -> int: ...
    def fileno(self) -> int: ...
    def send(
        self, plain: Any, tree: Any = None, placed: Any = None, wait: bool = False, fixed: bool = False
    ) -> None: ...
    def flush(self) -> bool: ...
    def poll(self) -> list[tuple[Any, Any, Any]]: ...
    def close(self) -> None: ...


def wrap(sock: socket.socket, wire: str, segments: SegmentPool, meter: Meter) -> Wire:
    """A channel over a connected socket; ``segments`` is where one of shared memory puts what it sends."""
    return SocketChannel(sock, meter) if wire == "sockets" else Channel(sock, segments, meter)


class Placement:
    """Arguments that are sent to several nodes, put where that costs one copy."""

    def __init__(self, wire: str, segments: SegmentPool, args: Tensors) -> None:
        self.sent: Any = Packed(dict(args)) if wire == "sockets" else Placed(segments, dict(args))

    def tensors(self) -> Mapping[str, Tensor]:
        """The arguments, to be read here."""
        if isinstance(self.sent, Packed):
            return unflatten(self.sent.plain, self.sent.tensors)  # type: ignore[no-any-return]
        views = self.sent.block.segment.tensors(self.sent.specs)
        return unflatten(self.sent.plain, views)  # type: ignore[no-any-return]

    def retain(self) -> None:
        """One more user."""
        self.sent.retain()

    def release(self) -> None:
        """One user less; the memory is used again after the last."""
        self.sent.release()
