"""What torch has once for a whole process, its default generator and its number of threads, and how it is shared.

Several runs may go on at once in one process: in threads, or one inside the progress callback of another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

DRAWS = threading.RLock()
"""Held by whoever seeds torch's default generator, until its last draw: else two threads draw from one stream."""

_RUNS: dict[str, Any] = {"now": 0, "before": None}

_SERIAL: dict[str, Any] = {"now": 0, "threads": 0}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What is drawn meanwhile from torch's default generator depends on the seed alone; afterwards it is as it was."""
    # Only the CPU's generator is forked and seeded: torch.manual_seed would touch those of every device.
    with DRAWS, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def serial() -> Iterator[None]:
    """torch's operations compute in one thread each; afterwards in as many as before, when the last of those who are in
    here leaves, for the others still need it so.
    """
    with DRAWS:
        if not _SERIAL["now"]:
            _SERIAL["threads"] = torch.get_num_threads()
        _SERIAL["now"] += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with DRAWS:
            _SERIAL["now"] -= 1
            if not _SERIAL["now"]:
                torch.set_num_threads(_SERIAL["threads"])


def spare_threads() -> int:
    """How many threads work of our own may use: torch's, or in a run those that it had before. A worker has one."""
    with DRAWS:
        return int(_SERIAL["threads"]) if _SERIAL["now"] else torch.get_num_threads()


@contextmanager
def one_thread() -> Iterator[None]:
    """As in any worker: torch computes in one thread. Its generator is afterwards as it was, when the last of those who
    are in here leaves.
    """
    with serial():
        with DRAWS:
            if not _RUNS["now"]:
                _RUNS["before"] = torch.random.get_rng_state()
            _RUNS["now"] += 1
        try:
            yield
        finally:
            with DRAWS:
                _RUNS["now"] -= 1
                if not _RUNS["now"]:
                    torch.random.set_rng_state(_RUNS["before"])
