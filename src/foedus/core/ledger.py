"""Ledger: what it cost. Bytes, messages, seconds of compute, of wire and of waiting."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace


@dataclass
class Costs:
    """Sums over the jobs of nodes. Bytes are the tensors' raw numbers; seconds are node-seconds of the runtime's clock.

    For every job whose answer took part in a synchronous round, compute + wire + waiting is the round's length. Work
    whose answer was dropped is counted too, in ``dropped`` as well: it was done.
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

    def add(self, other: Costs) -> None:
        """Add another account to this one."""
        # Written out: this runs for every job, and a loop over fields() would cost ten times as much.
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

    def copy(self) -> Costs:
        """An account of its own with the same sums."""
        return replace(self)

    def as_dict(self) -> dict[str, float]:
        """Field names and sums, for a checkpoint or a line of JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass
class Ledger:
    """Costs of a run: in total, and by node if ``per_node`` was asked for."""

    per_node: bool = False
    total: Costs = field(default_factory=Costs)
    nodes: dict[int, Costs] = field(default_factory=dict)
    virtual_s: float = 0.0
    wall_s: float = 0.0

    def charge(self, node: int, costs: Costs) -> None:
        """Put costs on a node's account."""
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

    def as_tree(self) -> dict[str, object]:
        """For the checkpoint."""
        return {
            "total": self.total.as_dict(),
            "nodes": {k: v.as_dict() for k, v in self.nodes.items()},
            "virtual_s": self.virtual_s,
            "wall_s": self.wall_s,
        }

    def restore(self, tree: dict[str, dict]) -> None:  # type: ignore[type-arg]
        """Back to what ``as_tree`` said."""
        self.total = Costs(**tree["total"])
        self.nodes = {k: Costs(**v) for k, v in tree["nodes"].items()}
        self.virtual_s = tree["virtual_s"]  # type: ignore[assignment]
        self.wall_s = tree["wall_s"]  # type: ignore[assignment]
