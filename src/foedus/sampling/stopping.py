"""When to stop. A rule's memory lives in the checkpoint, so that a resumed run stops where the other would have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from foedus.core.errors import BadInput
from foedus.core.records.run import Record
from foedus.core.types.metric import LOSS, QUALITY, Metric, metric, named
from foedus.core.types.several import several


@runtime_checkable
class StopRule(Protocol):
    """A frozen dataclass that looks at every commit."""

    def init(self) -> Any:
        """What the rule remembers, a tree that a checkpoint can hold."""
        ...

    def after(self, record: Record, memory: Any) -> tuple[bool, Any]:
        """Whether to stop after this commit, and what to remember."""
        ...


def stop_rules(given: Any) -> tuple[StopRule, ...]:
    """The rules of a run. Errors: ``BadInput`` for what is none."""
    rules = several(given)
    for rule in rules:
        if isinstance(rule, type) or not isinstance(rule, StopRule):
            hint = f"write {rule.__name__}(...) with its values" if isinstance(rule, type) else "such as Target(0.9)"
            raise BadInput(f"stop takes rules, got {rule!r}: {hint}, or leave it out")
    return rules


def settled(rule: StopRule, measures: Sequence[Metric]) -> StopRule:
    """The rule as it looks at a run that measures these, the main metric first, and the loss.

    Errors: ``BadInput`` for a rule that waits for a metric that the run does not measure.
    """
    if not isinstance(rule, Target | Patience):
        return rule
    known = {m.name: m for m in (*measures, LOSS)}
    wanted = next(iter(known)) if rule.metric is None else key(rule.metric)
    if wanted not in known:
        raise BadInput(
            f"{rule} waits for {wanted}, which this run does not measure: it measures {', '.join(known)}. Name it "
            "among the model's metrics, or stop by one of these"
        )
    return Settled(rule, known[wanted])


def key(name: str) -> str:
    """The key of a metric's values, by any of its names, or by the import path of one's own."""
    try:
        return metric(name).name
    except BadInput:
        return name.rpartition(":")[2]


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name:
        raise BadInput(f"metric is the name of a metric, such as 'accuracy'; got {name!r}")


@dataclass(frozen=True)
class Settled:
    """A rule, and the metric that it looks at in this run."""

    rule: Target | Patience
    metric: Metric

    def init(self) -> Any:
        return self.rule.init()

    def after(self, record: Record, memory: Any) -> tuple[bool, Any]:
        return self.rule.judge(record, memory, self.metric)


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
    """Stop when an evaluated metric reaches a value; of ``loss``, ``rmse`` and other errors less is better."""

    value: float
    metric: str = "accuracy"

    def __post_init__(self) -> None:
        _check_name(self.metric)

    def init(self) -> Any:
        return None

    def after(self, record: Record, memory: Any) -> tuple[bool, Any]:
        return self.judge(record, memory, named(key(self.metric)))

    def judge(self, record: Record, memory: Any, by: Metric) -> tuple[bool, Any]:
        """``after`` by this metric."""
        now = record.measured(by.name)
        if now is None:
            return False, None
        return (now >= self.value if by.higher else now <= self.value), None


@dataclass(frozen=True)
class Budget:
    """Stop at the first commit by which the run has cost this much, of whatever is given.

    ``bytes``    in both directions.
    ``seconds``  of the runtime's clock (virtual time in simulation).
    ``epochs``   rows trained on divided by the rows there are.
    """

    bytes: float | None = None
    seconds: float | None = None
    epochs: float | None = None

    def __post_init__(self) -> None:
        given = [v for v in (self.bytes, self.seconds, self.epochs) if v is not None]
        if not given or not all(v > 0 for v in given):
            raise BadInput(f"a budget needs at least one of bytes, seconds and epochs, each above 0; got {self}")

    def init(self) -> Any:
        return None

    def after(self, record: Record, memory: Any) -> tuple[bool, Any]:
        seconds = record.virtual_s or record.wall_s
        spent = (record.bytes_up + record.bytes_down, seconds, record.epochs)
        limits = (self.bytes, self.seconds, self.epochs)
        return any(limit is not None and cost >= limit for cost, limit in zip(spent, limits, strict=True)), None


@dataclass(frozen=True)
class Patience:
    """Stop when so many evaluations have passed without a better value than the best before them.

    ``metric``  which one; by default the main one, the first that the model has.
    ``least``   a gain below this is none.
    """

    evaluations: int = 10
    metric: str | None = None
    least: float = 0.0

    def __post_init__(self) -> None:
        if self.evaluations < 1:
            raise BadInput(f"patience is a number of evaluations, at least 1; got {self.evaluations}")
        if self.metric is not None:
            _check_name(self.metric)
        if not self.least >= 0:
            raise BadInput(f"the least gain must not be negative, got {self.least}")

    def init(self) -> Any:
        return {"best": None, "since": 0}

    def after(self, record: Record, memory: Any) -> tuple[bool, Any]:
        names = QUALITY if self.metric is None else (key(self.metric),)
        found = next((m for m in names if record.measured(m) is not None), None)
        return (False, memory) if found is None else self.judge(record, memory, named(found))

    def judge(self, record: Record, memory: Any, by: Metric) -> tuple[bool, Any]:
        """``after`` by this metric."""
        value = record.measured(by.name)
        if value is None:
            return False, memory
        now = value if by.higher else -value
        if memory["best"] is None or now > memory["best"] + self.least:
            return False, {"best": now, "since": 0}
        since = memory["since"] + 1
        return since >= self.evaluations, {"best": memory["best"], "since": since}
