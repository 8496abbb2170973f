"""Synthetic runs: real ``Run`` and ``Record`` objects with numbers that a test can predict."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from foedus.core.records.evaluated_on import EvaluatedOn
from foedus.core.records.judged import Judged, Measured, as_bytes
from foedus.core.records.ledger import Ledger
from foedus.core.records.run import Record, Run
from foedus.core.types.cells import GROUPS


@dataclass(frozen=True)
class Centralized:
    epochs: int = 50


@dataclass(frozen=True)
class LocalOnly:
    epochs: int = 50


@dataclass(frozen=True)
class SyncSGD:
    rounds: int = 300
    lr: float = 0.1


@dataclass(frozen=True)
class FedAvg:
    rounds: int = 50
    lr: float = 0.05


@dataclass(frozen=True)
class Simulation:
    workers: int = 2
    network: str = "WAN"


def fake(program: Any, history: list[Record], **changes: Any) -> Run:
    """A run with that history; 3 nodes and 2 classes unless told otherwise."""
    vector = torch.arange(4, dtype=torch.float32)
    evaluated = [r for r in history if r.accuracy is not None and math.isfinite(r.accuracy)]
    values: dict[str, Any] = {
        "program": program,
        "vector": vector,
        "history": history,
        "ledger": Ledger(),
        "best": max(evaluated, key=lambda r: r.accuracy or 0.0, default=None),
        "best_vector": vector,
        "status": "finished",
        "seed": 7,
        "nodes": 3,
        "sizes": [10, 20, 30],
        "label_counts": [[10, 0], [5, 15], [15, 15]],
        "evaluated_on": EvaluatedOn("test"),
        "runtime": Simulation(),
    }
    known = {f.name for f in fields(Run)}
    run = Run(**(values | {k: v for k, v in changes.items() if k in known}))
    # What a run may carry besides: its node metrics, settings file, origin and preparation.
    for name in changes.keys() - known:
        setattr(run, name, changes[name])
    return run


def learn(
    rounds: int, start: float, end: float, pace: float, *, up: int = 0, down: int = 0, epochs: float = 1.0,
    compute: float = 0.1, wire: float = 0.0, waiting: float = 0.0, clock: float = 1.0,
) -> list[Record]:  # fmt: skip
    """A learning curve that goes from start to end; all costs are per round."""
    history = []
    for t in range(1, rounds + 1):
        accuracy = end - (end - start) * math.exp(-t / pace) + 0.004 * math.sin(3.7 * t) * math.exp(-t / (3 * pace))
        costs = {"compute_s": t * compute, "wire_s": t * wire, "waiting_s": t * waiting, "virtual_s": t * clock}
        work: dict[str, Any] = {"epochs": t * epochs, "bytes_up": t * up, "bytes_down": t * down, "wall_s": t * 0.01}
        loss = 2.3 * (1 - accuracy)
        history.append(Record(t, loss, accuracy, cohort=3, messages=2 * t, **costs, **work))
    return history


def record(round: int, accuracy: float | None, **costs: Any) -> Record:
    """One commit."""
    return Record(round=round, accuracy=accuracy, **costs)


def seeds(program: Any, *finals: float, up: int = 1000, **changes: Any) -> list[Run]:
    """One run a seed of the same program; they differ in how good they get."""
    return [
        fake(program, learn(20, 0.1, end, 4, up=up, down=up, wire=0.5), **({"seed": i} | changes))
        for i, end in enumerate(finals)
    ]


def judged(run: Run, spread: float, own: float = 0.0, *, rows: int = 200, rarest: int | None = 100) -> Run:
    """The same run with a judged point: its last record, each value of which deviates by ``spread`` as that of any
    other run on the same rows does, and by ``own`` in a way of its own. Standard errors, in the metric's unit.
    """

    def vector(seed: int) -> Any:
        drawn = np.random.default_rng(seed).standard_normal(GROUPS)
        return drawn / math.sqrt((drawn**2).sum())

    known = {m: getattr(run.history[-1], m) for m in ("accuracy", "auc", "rmse", "loss")}
    values = {m: float(v) for m, v in known.items() if v is not None and math.isfinite(v)}
    mine = zlib.crc32(f"{run.name} {run.history[-1]}".encode())
    moved = as_bytes(spread * vector(0) + own * vector(mine))
    here = Measured(values, dict.fromkeys(values, moved))
    run.judged = Judged((run.history[-1].round,), "held out", "accuracy", rows, rarest, here, here)
    return run
