"""Collectives: what every rank holds becomes one, and all ranks hold it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from foedus.core.errors import BadInput
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.pipes import Pipe, Pump, SocketPipe
from foedus.runtimes.processes.collectives.ring import Ring
from foedus.runtimes.processes.collectives.ring_buffer import RingBufferPipe
from foedus.runtimes.processes.collectives.tree import Tree, children_of, parent_of


class Collective(Protocol):
    """Sum what every rank holds, so that all ranks hold the same bits. All ranks call the same methods in order.

    Errors: ``Broken`` names a neighbour that is gone or silent, ``BadInput`` one that gave something else. After any
    error the connections are closed, so that the other ranks learn it at once, and a vector may hold part of the sum.
    """

    rank: int
    ranks: int

    def all_reduce(self, vector: Tensor, note: bytes = b"") -> list[bytes]:
        """Replace ``vector`` (flat, contiguous, floats or integers of 32 or 64 bits) by the sum over ranks, in place.

        Integers wrap: their sum is exact modulo 2^32 or 2^64, in any order.

        ``note``: a few hundred bytes of this rank, which travel with it. Returns all ranks' notes in rank order.
        """
        ...

    def all_merge(self, acc: Any, note: bytes, merge: Callable[[Any, Any], Any]) -> tuple[Any, list[bytes]]:
        """``(accumulator, notes)``: all ranks' accumulators merged in the order of ``MergeTree``.

        ``acc`` is a tree of tensors and numbers (``trees.py``), or None for nothing; ``merge`` may reuse what it
        is given. A tree can do this; the others raise ``BadInput``.
        """
        ...

    def close(self) -> None:
        """Close the connections."""


def edges(exchange: str, rank: int, ranks: int) -> set[int]:
    """The other ranks that a rank needs a connection to.

    >>> edges("ring", 0, 5), edges("tree", 0, 5), edges("gloo", 0, 5)
    ({1, 4}, {1, 2, 4}, set())
    """
    if exchange == "ring":
        return {(rank - 1) % ranks, (rank + 1) % ranks} - {rank}
    if exchange == "tree":
        parent = parent_of(rank)
        return set(children_of(rank, ranks)) | (set() if parent is None else {parent})
    return set()


def pipe(sock: socket.socket, wire: str, peer: int, meter: Meter) -> Pipe:
    """This end of a byte pipe to rank ``peer`` over a connected stream socket, which it takes over.

    ``wire``: ``"sockets"`` for any stream socket; ``"shared"`` needs a Unix socket, over which each side passes the
    shared memory that it writes in. Both ends name the same wire.
    """
    return RingBufferPipe(sock, peer, meter) if wire == "shared" else SocketPipe(sock, peer, meter)


def collective(
    exchange: str,
    rank: int,
    ranks: int,
    socks: dict[int, socket.socket],
    wire: str,
    meter: Meter,
    spin: bool = False,
    timeout: float = 30.0,
    store: str = "",
) -> Collective:
    """This rank's end of a collective over connected sockets to ``edges(exchange, rank, ranks)``.

    ``spin``: every process has a core of its own, so that looking again beats sleeping. ``timeout``: seconds without a
    byte, while some are due, after which the other side counts as gone: more than the slowest rank may need between
    two calls. ``store``: for gloo, the path of a file that does not exist yet, the same at all ranks.
    """
    if exchange == "gloo":
        from foedus.runtimes.processes.collectives.gloo import Gloo

        if wire != "sockets":
            raise BadInput(f"gloo speaks TCP: use the wire 'sockets', not {wire!r}")
        return Gloo(rank, ranks, store, meter, timeout)
    missing = edges(exchange, rank, ranks) - set(socks)
    if missing:
        raise BadInput(f"rank {rank} has no connection to rank {min(missing)}, which a {exchange} of {ranks} needs")
    pipes = {peer: pipe(sock, wire, peer, meter) for peer, sock in socks.items()}
    pump = Pump(list(pipes.values()), meter, spin, timeout)
    return Ring(rank, ranks, pipes, pump) if exchange == "ring" else Tree(rank, ranks, pipes, pump)
