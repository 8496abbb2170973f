"""Signs of life: what every node process writes into memory that its parent reads, without a message."""

from __future__ import annotations

import threading
import time

import torch

from foedus.core.types.update import Tensors

BEAT = 0.2
"""Seconds between two heart beats."""


def new_board(nodes: int) -> Tensors:
    """``beat`` (nodes,): when each last showed that it lives, in its monotonic seconds, 0 before the first time."""
    return {"beat": torch.zeros(nodes, dtype=torch.float64)}


def beat_for_ever(board: Tensors, node: int) -> None:
    """Start the heart of this process: a thread, so that a long kernel, which gives up the GIL, does not stop it."""
    beats = board["beat"].numpy()

    def beat() -> None:
        while True:
            beats[node] = time.monotonic()
            time.sleep(BEAT)

    threading.Thread(target=beat, name="foedus-heart-beat", daemon=True).start()


class Heartbeat:
    """How long each node has been silent, by the heart beats that the parent sees.

    Silence is counted in looks, not by the clock: while the parent itself computes or the machine sleeps, it does not
    look, and nobody is thought dead for that.
    """

    def __init__(self, board: Tensors) -> None:
        self._beats = board["beat"].numpy()
        self._seen = self._beats.copy()
        self.silent = [0.0] * len(self._seen)

    def look(self, seconds: float) -> None:
        """To be called every so many seconds."""
        for node, beat in enumerate(self._beats.tolist()):
            if beat == self._seen[node]:
                self.silent[node] += seconds
            else:
                self._seen[node], self.silent[node] = beat, 0.0

    def begun(self, node: int) -> bool:
        """Whether it has shown a sign of life at all."""
        return bool(self._beats[node])
