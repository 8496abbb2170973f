"""The curve continued by the simulator: the measured machine, many times over.

Legend: ``n`` nodes, ``V`` bytes of the model's vector. Every simulated node has a core and a link of its own, so
nothing of what processes of one machine take from each other is in it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from foedus.core.errors import Diverged
from foedus.core.types.job import Work
from foedus.network import Links, LogNormal, Steady
from foedus.programs import Gossip, ParameterServer, SyncSGD
from foedus.report.speedup.found import Simulated
from foedus.runtimes import Simulation
from foedus.speedup.model import JobCosts, RoundCosts
from foedus.speedup.network import Measured
from foedus.speedup.subject import Subject
from foedus.topologies import OnePeer, Uniform
from foedus.training import train

ROUNDS = 3
"""Rounds of a simulated run: enough, for on virtual time all are alike but for the jitter."""

SYNC, ASYNC, PEERS = "synchronous", "asynchronous", "decentralised"


@dataclass(frozen=True)
class Machine:
    """What was measured: computing alone on its core, a round of the server's, a message between two processes.

    ``sigma`` is the standard deviation of the logarithm of a job's time.
    """

    job: JobCosts
    server: RoundCosts
    alpha_s: float
    beta_s: float
    sigma: float = 0.0

    def network(self, nbytes: float, program: str) -> Measured:
        """The network that a program of vectors of so many bytes meets.

        What the server's processor spends on one vector, a message's part included, is its link's time: so vectors
        queue there as they do in reality. The fixed part of a round (the step) is added to every job where all wait
        for it, and to the server's work where every update is a step; without a server there is none.
        """
        each = self.server.alpha_s + nbytes * self.server.beta_s
        if program == ASYNC:
            each += self.server.fixed_s / 2  # half on the way up, half on the way down
        served = nbytes / each if each > 0 and program != PEERS else math.inf
        rate = 1 / self.beta_s if self.beta_s > 0 else math.inf
        links = Links(latency=self.alpha_s, up=rate, down=rate)
        fixed = self.server.fixed_s if program == SYNC else 0.0
        return Measured(links, self.job, fixed, LogNormal(self.sigma) if self.sigma > 0 else Steady(), served, served)


def law(machine: Machine, program: str, n: int, rows: float, nbytes: float) -> float:
    """Rows a second by closed form, without jitter.

    Synchronous: computing, then all vectors through the server, down and up. Asynchronous: n workers that come back
    after computing and both ways, until the server, which does one thing at a time, is always busy; an upper bound,
    for there is a queue before. Decentralised: a message is on its way while the node computes.
    """
    net = machine.network(nbytes, program)
    computing = machine.job.seconds(rows / n) + net.fixed_s
    way = machine.alpha_s + nbytes * machine.beta_s
    each = nbytes / net.server_up
    if program == PEERS:
        return rows / max(computing, way) if n > 1 else rows / computing
    if program == SYNC:
        return rows / (computing + 2 * (machine.alpha_s + max(n * each, nbytes * machine.beta_s)))
    alone = computing + 2 * (machine.alpha_s + max(each, nbytes * machine.beta_s))
    return rows / n * min(n / alone, 1 / (2 * each) if each > 0 else math.inf)


def rate_of(subject: Subject) -> Any:
    """The file's learning rate of a gradient step: a number or a schedule."""
    program: Any = subject.program
    return program.lr if isinstance(program, SyncSGD) else program.local.lr


def shared_rate(lr: Any, n: int) -> Any:
    """What is left of it where every one of n updates is a step of its own."""
    return (lambda t: lr(t) / n) if callable(lr) else lr / n


def programs(subject: Subject, n: int) -> dict[str, Any]:
    """The three that are compared, with the file's rate and batch."""
    sized: Any = subject.sized(ROUNDS, n)
    lr, batch = rate_of(subject), getattr(sized, "batch_size", None)
    return {
        SYNC: sized,
        ASYNC: ParameterServer(ROUNDS, shared_rate(lr, n), batch),
        PEERS: Gossip(ROUNDS, OnePeer(), Uniform(), lr, batch),
    }


def sizes(most: int) -> list[int]:
    """1, 2, 4 ... up to so many nodes, and so many.

    >>> sizes(1024)[-3:], sizes(6)
    ([256, 512, 1024], [1, 2, 4, 6])
    """
    return sorted({2**k for k in range(most.bit_length()) if 2**k <= most} | {most})


def simulate(
    subject: Subject, machine: Machine, most: int, budget_s: float, say: Callable[[str], None], notes: list[str]
) -> Iterator[tuple[Simulated, ...]]:
    """The curves so far, after every size: real runs of the file's model and data on virtual time.

    A program whose next size would not fit into what is left of ``budget_s``, or into half of the memory that is
    free, stops there; ``notes`` says so.
    """
    ended = time.monotonic() + budget_s
    rates: dict[str, dict[int, float]] = {SYNC: {}, ASYNC: {}, PEERS: {}}
    spent: dict[str, float] = {}
    over: set[str] = set()
    for n in sizes(most):
        if n > subject.rows:
            notes.append(
                f"The simulation of {n} nodes gives rows out more than once: there are {subject.rows:,}, and every "
                "node needs one."
            )
        data = subject.shared(n)
        for name, program in programs(subject, n).items():
            if name in over:
                continue
            why = _too_much(name, n, subject.nbytes, spent.get(name, 0.0), ended)
            if why:
                over.add(name)
                notes.append(f"The {name} simulation stops before {n:,} nodes: {why}.")
                continue
            started = time.monotonic()
            runtime = Simulation(network=machine.network(subject.nbytes, name))
            try:
                run = train(program, subject.model, data, runtime=runtime, seed=subject.seed, evaluate_every=10**9)
            except Diverged:
                over.add(name)
                notes.append(f"The {name} simulation stops before {n:,} nodes: it diverged; lower the learning rate.")
                continue
            spent[name] = time.monotonic() - started
            if run.ledger.virtual_s > 0:
                rates[name][n] = run.ledger.total.samples / run.ledger.virtual_s
        say(f"simulated {n:,} node{'s' if n > 1 else ''}")
        yield tuple(_curve(name, found, subject, machine) for name, found in rates.items() if 1 in found)


def by_law(exchange: str, job: JobCosts, costs: RoundCosts, rows: float, nbytes: float, most: int) -> Simulated:
    """The closed form alone, of an exchange that the simulator does not have: every node computes, then all reduce."""

    def seconds(n: int) -> float:
        return job.seconds(rows / n) + costs.seconds(exchange, n, nbytes)

    nodes = tuple(sizes(most))
    return Simulated(f"{SYNC}, {exchange}", nodes, (), tuple(seconds(1) / seconds(n) for n in nodes))


def _curve(name: str, found: dict[int, float], subject: Subject, machine: Machine) -> Simulated:
    rows = float(_trained(subject))
    one = law(machine, name, 1, rows, subject.nbytes)
    closed = tuple(law(machine, name, n, rows, subject.nbytes) / one for n in found)
    return Simulated(name, tuple(found), tuple(rate / found[1] for rate in found.values()), closed)


def _trained(subject: Subject) -> float:
    """Rows that one node passes through in a round."""
    work: Work = subject.job(1).work(subject.rows)
    return work.trained


def _too_much(name: str, n: int, nbytes: int, last_s: float, ended: float) -> str:
    left = ended - time.monotonic()
    if last_s * 2.2 > left or left <= 0:
        return f"its time, {max(0.0, left):.0f} s, would not suffice"
    if name == PEERS:
        try:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError, AttributeError):
            return ""
        needed = 6 * n * nbytes  # a model a node, its next, a message on its way, and what a commit keeps of them
        if needed > free / 2:
            return f"it would need {needed / 1e9:.1f} GB of memory"
    return ""
