"""When to stop. A rule's memory lives in the checkpoint, so that a resumed run stops where the other would have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from foedus.core.errors import BadInput
from foedus.core.run import Record


@runtime_checkable
class StopRule(Protocol):
    """A frozen dataclass that looks at every commit."""

    def init(self) -> Any:
        """What the rule remembers, a tree that a checkpoint can hold."""
        ...

    def after(self, record: Record, memory: Any) -> tuple[bool, Any]:
        """Whether to stop after this commit, and what to remember."""
        ...


@dataclass(frozen=True)
class AfterCommits:
    """Stop once the run has this many commits in all."""

    commits: int

    def __post_init__(self) -> None:
        if self.commits < 1:
            raise BadInput(f"a run has at least one commit, got AfterCommits({self.commits})")

    def init(self) -> Any:
        return None

    def after(self, record: Record, memory: Any) -> tuple[bool, Any]:
        return record.round >= self.commits, None


@dataclass(frozen=True)
class Target:
    """Stop when an evaluated metric reaches a value; of ``loss`` and ``rmse`` less is better."""

    value: float
    metric: str = "accuracy"

    def __post_init__(self) -> None:
        if self.metric not in ("accuracy", "auc", "loss", "rmse"):
            raise BadInput(f"unknown metric {self.metric!r}: use accuracy, auc, loss or rmse")

    def init(self) -> Any:
        return None

    def after(self, record: Record, memory: Any) -> tuple[bool, Any]:
        now = getattr(record, self.metric)
        if now is None:
            return False, None
        return (now <= self.value if self.metric in ("loss", "rmse") else now >= self.value), None
