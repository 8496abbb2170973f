"""Stragglers on purpose: one process slowed down, and what that costs programs that wait and programs that do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from foedus.network import Device
from foedus.programs import ParameterServer, SyncSGD
from foedus.report.speedup.found import Spread, Straggler
from foedus.speedup.measure import Making, timed
from foedus.speedup.simulate import ASYNC, SYNC, rate_of, shared_rate
from foedus.speedup.subject import Subject

FACTOR = 4.0
"""How many times as long the slowed process takes."""

SLEEP_S = 0.04
"""What a job lasts where processes sleep: far more than a round's communication, so that theory is met closely."""


def theory_of_loss(program: str, p: int, factor: float) -> float:
    """The share of updates lost when one of p equal processes takes ``factor`` times as long.

    Who waits for all is as slow as the slowest: 1 - 1/factor. Who waits for nobody keeps the sum of the rates:
    (1 - 1/factor) / p.

    >>> theory_of_loss("synchronous", 4, 4.0), theory_of_loss("asynchronous", 4, 4.0)
    (0.75, 0.1875)
    """
    lost = 1 - 1 / factor
    return lost if program == SYNC else lost / p


@dataclass(frozen=True)
class Case:
    """p processes that compute, or sleep."""

    p: int
    sleeping: bool


def stragglers(subject: Subject, case: Case, wire: str, make: Making, rounds: int) -> Iterator[Straggler]:
    """Synchronous and asynchronous, each with all alike and with the last process slowed."""
    slow = (*(1.0 for _ in range(case.p - 1)), FACTOR)
    for name in (SYNC, ASYNC):
        rates = []
        for slowdown in ((1.0,) * case.p, slow):
            rates.append(_rate(subject, case, name, wire, make, rounds, slowdown))
        alike, slowed = rates
        yield Straggler(case.p, FACTOR, name, case.sleeping, alike, slowed, theory_of_loss(name, case.p, FACTOR))


def _rate(
    subject: Subject, case: Case, name: str, wire: str, make: Making, rounds: int, slowdown: tuple[float, ...]
) -> float:
    """Updates (gradients) a second of all processes together."""
    sized: Any = subject.sized(rounds, case.p)
    batch, device, data = getattr(sized, "batch_size", None), None, subject.shared(case.p)
    if case.sleeping:
        # A row each, and for who is slow as many as that takes longer: what is computed is little beside what is slept.
        data, batch = subject.dealt([round(f) for f in slowdown]), None
        device, slowdown = Device(samples_per_second=1 / SLEEP_S), ()
    lr = rate_of(subject)
    program: Any = SyncSGD(rounds, lr, batch)
    if name == ASYNC:
        # Its commits come more often when one is slow: twice as many, so that the slow one is heard a few times.
        program = ParameterServer(2 * rounds, shared_rate(lr, case.p), batch)
    runtime = make(wire=wire, exchange="server", slowdown=slowdown, device=device)
    found = timed(program, subject, data, runtime)
    if name == SYNC:
        return case.p / Spread.of(found.rounds).median
    # Commits come unevenly when one worker is slow: what counts is all updates over all time.
    return case.p * len(found.rounds) / sum(found.rounds)
