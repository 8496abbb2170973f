"""Commit: all that a run goes back to, and that a checkpoint of it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from foedus.core.coordination.judging import Judging
from foedus.core.records.run import Record
from foedus.core.types.roster import Roster
from foedus.core.types.state import State


@dataclass
class Carried:
    """What a run carries from commit to commit beside its program's state.

    ``version``       models that a stream has published.
    ``out``           nodes of a stream whose last job failed, in the order in which they did.
    ``empty_rounds``  how many rounds in a row have now ended at their deadline without an answer.
    ``peers``         of a decentralised program, the last cut: see ``commit_cut``.
    ``staleness``     how many updates came with each staleness.
    ``tested_on``     what the program's quality was measured on, as a table; None: a shared
                      model, where the roster says.
    ``node_metrics``  at the last evaluation at the nodes, what each found: a list over the nodes for every metric.
    ``usual``         what the metrics are of one answer for all rows, once that was measured; empty: nobody knows.
    ``node_rows``     on how many rows each did; ``node_rarest`` how many of these are of its rarest class,
                      ``node_deviations`` how groups of them move each value.
    ``node_everybody``  where nodes have models of their own, how good each is on everybody's rows, likewise.
    ``left_out``      nodes that failed and without which the run went on: in which round first, and why.
    """

    version: int = 0
    out: tuple[int, ...] = ()
    empty_rounds: int = 0
    peers: dict[str, Any] | None = None
    staleness: dict[int, int] | None = None
    node_metrics: dict[str, list[float | None]] | None = None
    node_rows: list[int] | None = None
    node_rarest: list[int | None] | None = None
    node_deviations: list[dict[str, bytes]] | None = None
    node_everybody: dict[str, list[float | None]] | None = None
    left_out: dict[int, tuple[int, str]] | None = None
    tested_on: dict[str, str] | None = None
    usual: dict[str, float] | None = None

    def as_tree(self) -> dict[str, Any]:
        """For the checkpoint."""
        return vars(self) | {"out": list(self.out)}

    @staticmethod
    def from_tree(tree: Mapping[str, Any]) -> Carried:
        """What ``as_tree`` said; also as it was written before these had names."""
        known = {k.replace(" ", "_"): v for k, v in tree.items()}
        known.pop("curves", None)  # of an older checkpoint: they are the judging's
        return Carried(**{**known, "out": tuple(known.get("out", ()))})


@dataclass
class Commit:
    """The last commit: all that a run goes back to. Made whole and then taken over by one assignment, so that an
    interruption finds either the old one or the new.

    Counters and node states would be too large to copy; of them it holds what they were before they changed since.
    """

    round: int
    state: State | None
    records: int
    best: Record | None
    best_w: Tensor | None
    judging: Judging
    stops: list[tuple[bool, Any]]
    ledger: dict[str, Any]
    reducers: dict[str, dict[str, Any]]
    draws: dict[str, int]
    carried: Carried
    roster: Roster
    now: float
    down: dict[str, Any]
    up: dict[str, Any]
    in_flight: list[Any]
    counts_before: dict[int, int] = field(default_factory=dict)
    states_before: dict[int, dict[str, Any] | None] = field(default_factory=dict)
