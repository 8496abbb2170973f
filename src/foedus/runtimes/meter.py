"""Meter: what one process has sent and received, and on what it has spent its time."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from foedus.core.records.ledger import Costs


@dataclass
class Meter:
    """Counts of one process, from its start on.

    Bytes are those given to a socket or put into shared memory, headers included; ``vector_sent`` and
    ``vector_received`` are those of them that were numbers of tensors. Seconds are wall seconds of the process's one
    thread, each of exactly one kind: computing jobs and sums, serialising (copies into and out of messages), moving
    bytes, or waiting.
    """

    bytes_sent: int = 0
    bytes_received: int = 0
    vector_sent: int = 0
    vector_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    compute_s: float = 0.0
    serial_s: float = 0.0
    wire_s: float = 0.0
    waiting_s: float = 0.0

    def copy(self) -> Meter:
        """The counts as they are now."""
        return replace(self)

    def minus(self, before: Meter) -> Meter:
        """What came since ``before``, a copy made then.

        >>> Meter(bytes_sent=12).minus(Meter(bytes_sent=4)).bytes_sent
        8
        """
        return Meter(**{f.name: getattr(self, f.name) - getattr(before, f.name) for f in fields(self)})

    def costs(self) -> Costs:
        """These counts as the ledger has them for the node whose process this is."""
        return Costs(
            bytes_up=self.vector_sent,
            bytes_down=self.vector_received,
            messages_up=self.messages_sent,
            messages_down=self.messages_received,
            compute_s=self.compute_s,
            wire_s=self.wire_s,
            serial_s=self.serial_s,
            waiting_s=self.waiting_s,
            framing=self.bytes_sent + self.bytes_received - self.vector_sent - self.vector_received,
        )
