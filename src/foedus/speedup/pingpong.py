"""What one message between two processes takes over a wire: a ping-pong. The two are ``python -m`` this module."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch

from foedus.network.fit import fit_alpha_beta
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.collective import collective, probe
from foedus.runtimes.processes.node.context import NodeContext, run
from foedus.runtimes.processes.parent.process_group import ProcessGroup
from foedus.runtimes.processes.wire.pair import connected_pair
from foedus.speedup.processors import cores

if TYPE_CHECKING:
    from foedus.speedup.subject import Subject

RANKS = 2
SIZES = (1000, 10_000, 100_000, 1_000_000, 4_000_000)
"""Bytes: latency is seen by short messages, bandwidth by long ones."""


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


def _play(context: NodeContext) -> None:
    torch.set_num_threads(1)
    setup = context.setup
    context.channel.receive()
    peer = {1 - context.node: context.channel.sockets.popleft()}
    ring = collective("ring", context.node, RANKS, peer, setup["wire"], Meter(), bool(setup["spin"]))
    context.channel.send({"messages": [list(m) for m in probe(ring, setup["sizes"])]})
    context.channel.receive()  # until the parent is gone: closing early would look like a loss to the other


if __name__ == "__main__":
    run(int(sys.argv[1]), _play)
