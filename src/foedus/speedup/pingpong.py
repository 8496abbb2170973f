"""What one message between two processes takes over a wire: a ping-pong. The two are ``python -m`` this module."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from foedus.network.fit import fit_alpha_beta
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.collective import pipe
from foedus.runtimes.processes.collectives.frames import OTHER, Frame, head, read_head
from foedus.runtimes.processes.collectives.pipes import Pipe, Pump
from foedus.runtimes.processes.node.context import NodeContext, run
from foedus.runtimes.processes.parent.process_group import ProcessGroup
from foedus.runtimes.processes.wire.pair import connected_pair
from foedus.speedup.processors import cores

if TYPE_CHECKING:
    from foedus.speedup.subject import Subject

RANKS = 2
PROBED = (100, 1000, 10_000, 100_000, 1_000_000, 10_000_000)
TIMEOUT = 30.0
"""Seconds without a byte after which the other process counts as gone."""
SIZES = (1000, 10_000, 100_000, 1_000_000, 4_000_000)
"""Bytes: latency is seen by short messages, bandwidth by long ones."""

Move = Callable[[bytearray], None]


def pingpong(wire: str, subject: Subject) -> tuple[float, float]:
    """Seconds a message (one way) and seconds a byte, fitted to short and long messages and the model's own.

    Errors: ``WorkerError`` if the two processes do not start or end early.
    """
    return fit_alpha_beta(messages(wire, subject, sorted({*SIZES, subject.nbytes})))


def messages(wire: str, subject: Subject, sizes: list[int]) -> list[tuple[float, float]]:
    """``(bytes, seconds)`` of one message of each size, one way."""
    # Where the two have a core each, they look again and again instead of sleeping, as they do in a run.
    setup: dict[str, Any] = {"wire": wire, "sizes": sizes, "spin": cores() >= RANKS}
    group = ProcessGroup(RANKS, "foedus.speedup.pingpong", setup, subject.model, subject.shared(RANKS))
    try:
        for channel, sock in zip(group.channels, connected_pair(wire), strict=True):
            with sock:
                channel.send({}, sock=sock)
        found, _, _ = group.channels[0].receive()
        return [(float(n), float(s)) for n, s in found["messages"]]
    finally:
        group.close()


def probe(rank: int, give: Move, take: Move, sizes: Sequence[int] = PROBED, times: int = 9) -> list[tuple[int, float]]:
    """``(bytes, seconds)`` of a message from rank 0 to rank 1: half of what there and back takes, medians.

    Both ranks call it. ``network.fit.fit_alpha_beta`` makes a latency and a bandwidth of the result.
    """
    out = []
    for size in sizes:
        body, taken = bytearray(size), []
        for _ in range(times + 1):
            begin = time.perf_counter()
            for move in (give, take) if rank == 0 else (take, give):
                move(body)
            taken.append((time.perf_counter() - begin) / 2)
        out.append((size, statistics.median(taken[1:])))  # the first one touches the memory
    return out


def moves(pump: Pump, end: Pipe) -> tuple[Move, Move]:
    """Giving one message to the other side of a pipe, and taking one of a length that both know: each is a frame."""

    def give(body: bytearray) -> None:
        pump.start()
        end.put(head(Frame(0, OTHER, len(body), b"")), memoryview(body))
        pump.flush()

    def take(body: bytearray) -> None:
        pump.start()
        read_head(pump, end)
        pump.read_into(end, memoryview(body))
        pump.flush()

    return give, take


def _play(context: NodeContext) -> None:
    torch.set_num_threads(1)
    setup, meter = context.setup, Meter()
    context.channel.receive()
    end = pipe(context.channel.sockets.popleft(), setup["wire"], 1 - context.node, meter)
    give, take = moves(Pump([end], meter, bool(setup["spin"]), TIMEOUT), end)
    context.channel.send({"messages": [list(m) for m in probe(context.node, give, take, setup["sizes"])]})
    context.channel.receive()  # until the parent is gone: closing early would look like a loss to the other


if __name__ == "__main__":
    run(int(sys.argv[1]), _play)
