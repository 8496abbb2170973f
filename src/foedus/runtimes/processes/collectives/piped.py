"""What collectives over our own pipes share."""

from __future__ import annotations

from collections.abc import Sequence

from foedus.runtimes.processes.collectives.frames import OTHER, Frame, head, read_head
from foedus.runtimes.processes.collectives.pipes import Pipe, Pump


class Piped:
    """One rank's end: its pipes to other ranks, what moves bytes through them, and how many calls there were."""

    def __init__(self, rank: int, ranks: int, pipes: dict[int, Pipe], pump: Pump) -> None:
        self.rank, self.ranks, self.pump, self.pipes = rank, ranks, pump, pipes
        self.calls = 0

    def put_frame(self, pipes: Sequence[Pipe], frame: Frame, *payload: memoryview) -> None:
        """Queue the beginning of a frame, with its bytes if they are at hand."""
        data = head(frame)
        for pipe in pipes:
            pipe.put(data, *payload)
            self.pump.meter.messages_sent += 1
            self.pump.meter.vector_sent += sum(map(len, payload))

    def put_more(self, pipes: Sequence[Pipe], data: memoryview) -> None:
        """Queue the next bytes of the frame that was begun last."""
        for pipe in pipes:
            pipe.put(data)
            self.pump.meter.vector_sent += len(data)

    def get_more(self, pipe: Pipe, into: memoryview) -> None:
        """Receive the next bytes of a frame into this memory."""
        self.pump.read_into(pipe, into)
        self.pump.meter.vector_received += len(into)

    def give(self, peer: int, data: bytearray) -> None:
        """Send one message to a rank that takes it. For ``probe``."""
        self.pump.start()
        self.pipes[peer].put(head(Frame(0, OTHER, len(data), b"")), memoryview(data))
        self.pump.meter.messages_sent += 1
        self.pump.flush()

    def take(self, peer: int, data: bytearray) -> None:
        """Receive a message that a rank gives, of a length that both know."""
        self.pump.start()
        read_head(self.pump, self.pipes[peer])
        self.pump.read_into(self.pipes[peer], memoryview(data))
        self.pump.flush()

    def close(self) -> None:
        """Close all connections: whoever waits for this rank learns it at once."""
        for pipe in self.pipes.values():
            pipe.close()
