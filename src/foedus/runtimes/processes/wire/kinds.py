"""The two wires between processes, by name: shared memory, and TCP sockets."""

from __future__ import annotations

import socket

from foedus.core.types.update import Tensors
from foedus.runtimes.channel import Channel, Counted
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.wire.socket_channel import Packed, SocketChannel
from foedus.runtimes.segments import SegmentPool
from foedus.runtimes.shared_channel import Placed, SharedChannel


def wrap(sock: socket.socket, wire: str, segments: SegmentPool, meter: Meter) -> Channel:
    """A channel over a connected socket; ``segments`` is where one of shared memory puts what it sends."""
    return SocketChannel(sock, meter) if wire == "sockets" else SharedChannel(sock, segments, meter)


def place(wire: str, segments: SegmentPool, args: Tensors) -> Counted:
    """Arguments that are sent to several nodes, put where that costs one copy."""
    return Packed(dict(args)) if wire == "sockets" else Placed(segments, dict(args))
