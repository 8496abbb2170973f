"""One run of real processes, and what is read from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from foedus.core.coordination.runtime import Runtime
from foedus.core.types.data import FederatedDataset
from foedus.core.types.job import Job
from foedus.jobs import Gradient
from foedus.report.speedup.found import KINDS, Spread
from foedus.runtimes import Processes
from foedus.speedup.model import Empty
from foedus.speedup.parts import Computing, Echoes, Repeated
from foedus.speedup.subject import Subject
from foedus.training import Run, train

Making = Callable[..., Runtime]
"""What makes a runtime of ``wire``, ``exchange`` and so on: ``foedus.Processes``."""

WARM_UP = 3
"""First rounds that are not counted: memory is touched for the first time, and processes fall into step."""


def processes(**options: Any) -> Runtime:
    """``Processes`` with these options."""
    return Processes(**options)


@dataclass(frozen=True)
class Timed:
    """One run: seconds of every counted round, and a mean node's seconds a round by kind."""

    rounds: tuple[float, ...]
    kinds: dict[str, float]
    run: Run


def timed(program: Any, subject: Subject, data: FederatedDataset, runtime: Runtime, warm_up: int = WARM_UP) -> Timed:
    """Run a program and read the clock at each of its commits. Evaluation is not counted."""
    run = train(
        program, subject.model, data, runtime=runtime, seed=subject.seed, evaluate_every=10**9, per_node=True
    )  # fmt: skip
    at = [0.0, *(r.wall_s for r in run.history)]
    rounds = [b - a for a, b in pairwise(at)]
    counted = rounds[warm_up:] or rounds[-1:]
    total = run.ledger.total
    # The books are of the whole run. Warming up has the same kinds of work, so shares are taken of it all.
    kinds = {k: float(getattr(total, k, 0.0)) / len(rounds) / data.nodes for k in KINDS}
    return Timed(tuple(counted), kinds, run)


def shares(kinds: dict[str, float]) -> dict[str, float]:
    """Seconds by kind as shares of their sum; nothing where no second was counted."""
    total = sum(kinds.values())
    return {k: v / total for k, v in kinds.items()} if total > 0 else {}


def computing(
    subject: Subject, nodes: int, runtime: Runtime, times: int
) -> list[tuple[float, tuple[tuple[float, ...], ...]]]:
    """Seconds of jobs that so many processes compute at once, without communication: the whole job first, then ever
    smaller parts of it, each as the rows it passes through and a tuple of seconds a process.
    """
    data, job = subject.shared(nodes), subject.job(nodes)
    rows = min(data.sizes)
    # One process, the simulator's node, is asked for the smallest too: there the job's fixed part is nearly all.
    parts, cuts = dict[int, tuple[Job, int]](), (1, 4, 64, 1024) if nodes == 1 else (1, 4, 64)
    if isinstance(job, Gradient) and job.batch_size is not None and job.batch_size < rows:
        parts = {n: (Gradient(n), rows) for k in cuts if (n := max(1, job.batch_size // k))}
    else:
        # All rows of a node are asked for as such: a row more or less is the machine's smallest worry.
        parts = {n: (job, n if k > 1 else max(data.sizes)) for k in cuts if (n := max(1, rows // k))}
    jobs = tuple(Repeated(j, n, times) for j, n in parts.values())
    run = timed(Computing(jobs), subject, data, runtime).run
    return [
        (
            j.job.work(min(j.rows, rows)).trained,
            tuple(tuple(record.metrics[f"seconds {k} {i}"] for i in range(times)) for k in range(nodes)),
        )
        for j, record in zip(jobs, run.history[1:], strict=True)
    ]


def empty_rounds(subject: Subject, nodes: int, runtime: Runtime, times: int) -> list[Empty]:
    """Median seconds of rounds without computing, by length of the vector: whole, a quarter, and nearly nothing."""
    whole = int(subject.model.initial.numel())
    lengths = tuple(dict.fromkeys(max(1, n) for n in (whole, whole // 4, min(16, whole))))
    program = Echoes(lengths, times + 1, subject.program.aggregate)
    rounds = timed(program, subject, subject.shared(nodes), runtime, warm_up=len(lengths)).rounds
    size = subject.model.initial.element_size()
    found = [Spread.of(rounds[k :: len(lengths)]).median for k in range(len(lengths))]
    return [Empty(nodes, float(n * size), s) for n, s in zip(lengths, found, strict=True)]


def together(jobs: Sequence[Sequence[float]], oversubscribed: bool) -> float:
    """Seconds of a round of nothing but these jobs, a sequence a process: it waits for the slowest.

    Where processes take turns on a core, one job is over at once and the next has to wait: then it is the mean.
    """
    if oversubscribed:
        return max(sum(of_one) / len(of_one) for of_one in jobs)
    return Spread.of([max(of_all) for of_all in zip(*jobs, strict=True)]).median


def spread_of_logs(seconds: Sequence[float]) -> float:
    """The standard deviation of the logarithm, by the quartiles, so that a few outliers do not make it.

    >>> spread_of_logs([1.0, 1.0, 1.0])
    0.0
    """
    logs = Spread.of([math.log(s) for s in seconds])
    return (logs.high - logs.low) / 1.349
