"""Ledger: what it cost. Bytes, messages, seconds of compute, of wire and of waiting."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from foedus.core.records.frame import frame


@dataclass
class Costs:
    """Sums over the jobs of nodes. Bytes are the tensors' raw numbers; seconds are node-seconds of the runtime's clock.

    For every job whose answer took part in a synchronous round, compute + wire + waiting + off is the round's length:
    ``waiting_s`` is the time an answer lay there until the round closed, ``off_s`` the time a job waited for its node
    to come on. Work whose answer was not used is counted too, in ``dropped`` as well: it was done; ``lost_s`` is what
    it took of compute. ``late``, ``refused``, ``failed`` and ``lost`` say why it was not used; an attempt that was
    repeated counts like any other.

    On real wires bytes are counted as they leave and arrive: ``framing`` are those beyond the tensors' numbers
    (headers, names, shapes), and ``serial_s`` is the time it took to copy tensors into messages and out of them. Then
    compute + serialisation + wire + waiting is all the time of a node.

    ``awaited_s`` is how long others waited for this node: whoever waits, waits for those that are still out, for all of
    them alike. Over the nodes of a round it sums to ``waiting_s``.
    """

    bytes_up: int = 0
    bytes_down: int = 0
    messages_up: int = 0
    messages_down: int = 0
    compute_s: float = 0.0
    wire_s: float = 0.0
    waiting_s: float = 0.0
    samples: float = 0.0
    jobs: int = 0
    dropped: int = 0
    off_s: float = 0.0
    lost_s: float = 0.0
    awaited_s: float = 0.0
    serial_s: float = 0.0
    framing: int = 0
    late: int = 0
    refused: int = 0
    failed: int = 0
    lost: int = 0

    def add(self, other: Costs) -> None:
        """Add another account to this one. Written out, for this runs for every job: a loop over the fields takes ten
        times as long.
        """
        self.bytes_up += other.bytes_up
        self.bytes_down += other.bytes_down
        self.messages_up += other.messages_up
        self.messages_down += other.messages_down
        self.compute_s += other.compute_s
        self.wire_s += other.wire_s
        self.waiting_s += other.waiting_s
        self.samples += other.samples
        self.jobs += other.jobs
        self.dropped += other.dropped
        self.off_s += other.off_s
        self.lost_s += other.lost_s
        self.awaited_s += other.awaited_s
        self.serial_s += other.serial_s
        self.framing += other.framing
        self.late += other.late
        self.refused += other.refused
        self.failed += other.failed
        self.lost += other.lost

    def copy(self) -> Costs:
        """An account of its own with the same sums."""
        return replace(self)

    def as_dict(self) -> dict[str, float]:
        """Field names and sums, for a checkpoint or a line of JSON."""
        return asdict(self)


@dataclass
class Ledger:
    """Costs of a run: in total, and by node if ``per_node`` was asked for.

    ``communicates`` is False where all parties of a program share one place, so that nothing is sent.
    """

    per_node: bool = False
    communicates: bool = True
    total: Costs = field(default_factory=Costs)
    nodes: dict[int, Costs] = field(default_factory=dict)
    virtual_s: float = 0.0
    wall_s: float = 0.0
    median_s: float = 0.0

    def charge(self, node: int, costs: Costs) -> None:
        """Put costs on a node's account. Between a pseudo-node and the coordinator nothing is sent."""
        if node < 0 or not self.communicates:
            costs = replace(costs, bytes_up=0, bytes_down=0, messages_up=0, messages_down=0)
        self.total.add(costs)
        if self.per_node:
            self.nodes.setdefault(node, Costs()).add(costs)

    @property
    def bytes_up(self) -> int:
        """Bytes sent by nodes."""
        return self.total.bytes_up

    @property
    def bytes_down(self) -> int:
        """Bytes sent to nodes."""
        return self.total.bytes_down

    @property
    def messages(self) -> int:
        """Messages in both directions."""
        return self.total.messages_up + self.total.messages_down

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``: a row a node where the ledger is kept by node (``per_node``), else one, ``"total"``.

        Errors: ``BadInput`` where there is no pandas.
        """
        accounts = self.nodes if self.per_node else {"total": self.total}
        return frame([{"node": node, **costs.as_dict()} for node, costs in sorted(accounts.items())], "node")

    def as_tree(self) -> dict[str, object]:
        """For the checkpoint."""
        return {
            "total": self.total.as_dict(),
            "nodes": {k: v.as_dict() for k, v in self.nodes.items()},
            "virtual_s": self.virtual_s,
            "wall_s": self.wall_s,
            "median_s": self.median_s,
        }

    def restore(self, tree: dict[str, dict]) -> None:  # type: ignore[type-arg]
        """Back to what ``as_tree`` said."""
        self.total = Costs(**tree["total"])
        self.nodes = {k: Costs(**v) for k, v in tree["nodes"].items()}
        self.virtual_s = tree["virtual_s"]  # type: ignore[assignment]
        self.wall_s = tree["wall_s"]  # type: ignore[assignment]
        self.median_s = tree.get("median_s", 0.0)  # type: ignore[assignment]
