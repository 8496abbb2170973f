"""torch.distributed's gloo as a collective: what ours are measured against, and what many use."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from time import perf_counter
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.pipes import Broken
from foedus.runtimes.processes.collectives.ring import as_array

MEETING = 20.0
"""Seconds that ranks wait for each other at the beginning: one that is lost before it comes is not noticed else."""


class Gloo:
    """Sums by gloo over TCP on the loopback interface. Ranks meet in the file ``store``, which is gone afterwards.

    Gloo does not tell what it sends: bytes and messages are those of its ring by the formula, 2 (n - 1) / n of the
    vector in 2 (n - 1) messages, and what notes add. Its threads send, add and wait in one call, all of which is
    counted as time on the wire. Nor does it tell which rank is gone: ``Broken`` names the next one.
    """

    def __init__(self, rank: int, ranks: int, store: str, meter: Meter, timeout: float = 30.0) -> None:
        if not store:
            raise BadInput("gloo needs store=, the path of a file that does not exist yet, the same at all ranks")
        self.rank, self.ranks, self._meter = rank, ranks, meter
        group: Any = dist.ProcessGroupGloo
        options = group._Options()
        options._devices = [group.create_device(hostname="127.0.0.1")]
        options._timeout = timedelta(seconds=min(timeout, MEETING))
        self._store: Any = dist.FileStore(store, ranks)  # type: ignore[attr-defined]
        self.group: Any = None
        try:
            self.group = group(self._store, rank, ranks, options)
            # When all are connected the file has done its work, and nothing is left behind however the run ends.
            self.group.barrier().wait()
            self.group._set_default_timeout(timedelta(seconds=timeout))
        except RuntimeError as e:
            raise Broken((rank + 1) % ranks, f"or another rank did not come to the meeting ({_first_line(e)})") from e
        if rank == 0 and os.path.exists(store):
            os.unlink(store)

    def all_reduce(self, vector: Tensor, note: bytes = b"") -> list[bytes]:
        as_array(vector)
        begin = perf_counter()
        try:
            self.sum(vector)
            notes = self._notes(note)
        except RuntimeError as e:
            raise Broken((self.rank + 1) % self.ranks, f"or another rank is gone ({_first_line(e)})") from e
        self._meter.wire_s += perf_counter() - begin
        return notes

    def sum(self, vector: Tensor) -> None:
        """Gloo's all-reduce and nothing else: no check, no notes, no time. For benchmarks."""
        if len(vector):
            self.group.allreduce([vector]).wait()
        m, n = self._meter, self.ranks
        moved = 2 * (n - 1) * vector.nbytes // n
        m.bytes_sent += moved
        m.bytes_received += moved
        m.vector_sent += moved
        m.vector_received += moved
        m.messages_sent += 2 * (n - 1)
        m.messages_received += 2 * (n - 1)

    def _notes(self, note: bytes) -> list[bytes]:
        """Everybody's notes: their lengths first, for all parts of a gather must be equally long."""
        lengths = self._gather(torch.tensor([len(note)]))
        longest = max(int(n) for n in lengths)
        if not longest:
            return [b""] * self.ranks
        padded = torch.frombuffer(bytearray(note.ljust(longest, b"\0")), dtype=torch.uint8)
        return [bytes(t.numpy())[: int(n)] for t, n in zip(self._gather(padded), lengths, strict=True)]

    def _gather(self, part: Tensor) -> list[Tensor]:
        out = [torch.empty_like(part) for _ in range(self.ranks)]
        self.group.allgather([out], [part]).wait()
        moved = (self.ranks - 1) * part.nbytes
        self._meter.bytes_sent += moved
        self._meter.bytes_received += moved
        return out

    def all_merge(self, acc: Any, note: bytes, merge: Callable[[Any, Any], Any]) -> tuple[Any, list[bytes]]:
        raise BadInput(
            "gloo can only add: use the exchange 'tree' or 'server' for aggregators whose merge is not addition"
        )

    def close(self) -> None:
        """Close the connections and end gloo's threads."""
        self.group = None
        self._store = None


def _first_line(e: BaseException) -> str:
    return str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
